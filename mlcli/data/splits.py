"""Split a dataset into training, validation and test samples: a pure function of the labels and the configuration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlcli.errors import UsageError
from mlcli.records import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcli.config.schema import DatasetConfig
    from mlcli.data.source import SourceData
    from mlcli.records import DatasetInfo

DEFAULT_TEST_FRACTION = 0.2
# Separate the random streams that use the same split seed.
_TEST_STREAM, _VALIDATION_STREAM = 0x7E, 0x7A


@dataclass(frozen=True)
class Part:
    """The samples of one split: positions, int64 (n,), in the training or test array of the source."""

    array: Literal["train", "test"]
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class SplitPlan:
    """The three splits, and notes on what affects the meaning of their scores."""

    train: Part
    validation: Part | None
    test: Part
    notes: tuple[str, ...]

    def digest(self) -> str:
        """Return the sha256 (hex) over name, source array, count and little-endian int64 indices of each split."""
        sha256 = hashlib.sha256()
        for name, part in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            if part is not None:
                sha256.update(f"{name} {part.array} {len(part.indices)}\n".encode())
                sha256.update(part.indices.astype("<i8").tobytes())
        return sha256.hexdigest()


def plan_splits(config: DatasetConfig, info: DatasetInfo, y: NDArray[np.int64], n_test: int) -> SplitPlan:
    """Split off the test samples, then the validation samples, then apply the limit to the training samples.

    y: the labels of the source's training array; n_test: the size of its test array, 0 if it has none. After a
    stratified split the training samples are in seeded random order, so that the first N are a fair sample even of a
    source that is sorted by class. UsageError for a split without samples.
    """
    train, test, notes = _test_part(config, y, n_test)
    train, validation = _validation_part(config, y, train)
    if config.limit is not None and config.limit > len(train):
        notes.append(f"limit {config.limit} exceeds the {len(train)} training samples; all are used")
    train_part = Part("train", train[: config.limit])
    test = test or train_part
    if config.validation == "test":
        validation = test
        notes.append("validation uses the test split, so choices based on validation scores have seen the test set")
    n_classes = np.count_nonzero(np.bincount(y[train_part.indices]))
    if n_classes < info.n_classes:
        notes.append(
            f"the {len(train_part.indices)} training samples contain only {n_classes} of {info.n_classes} classes"
        )
    return SplitPlan(train_part, validation, test, tuple(notes))


def _test_part(
    config: DatasetConfig, y: NDArray[np.int64], n_test: int
) -> tuple[NDArray[np.int64], Part | None, list[str]]:
    """Return the positions left for training, the test split (None: same as the training split), and the notes."""
    everything = np.arange(len(y), dtype=np.int64)
    if config.test == "train":
        return everything, None, ["test scores are computed on the training data"]
    if config.test == "auto" and n_test:
        return everything, Part("test", np.arange(n_test, dtype=np.int64)), []
    fraction = DEFAULT_TEST_FRACTION if config.test == "auto" else config.test
    rest, picked = stratified_split(y, _count("test", fraction, len(y)), config.split_seed, _TEST_STREAM)
    note = f"the test split is taken from the training data; the {n_test} test samples of the dataset are not used"
    return rest, Part("train", picked), [note] if n_test else []


def _validation_part(
    config: DatasetConfig, y: NDArray[np.int64], train: NDArray[np.int64]
) -> tuple[NDArray[np.int64], Part | None]:
    if config.validation is None or config.validation == "test":
        return train, None
    n_picked = _count("validation", config.validation, len(train))
    rest, picked = stratified_split(y[train], n_picked, config.split_seed, _VALIDATION_STREAM)
    return train[rest], Part("train", np.sort(train[picked]))


def _count(name: str, fraction: float, n_samples: int) -> int:
    n_picked = round(fraction * n_samples)
    if not 0 < n_picked < n_samples:
        problem = "selects none" if n_picked == 0 else "leaves none for training"
        raise UsageError(f"dataset.{name}: {fraction:g} of {n_samples} samples {problem}; choose another fraction")
    return n_picked


def stratified_split(
    y: NDArray[np.int64], n_picked: int, seed: int, stream: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pick n_picked positions in y at random with the class proportions of y; return (rest, picked).

    Each class gets its quota of n_picked rounded down; the remaining places go to the classes with the largest
    remainders (Hamilton's method), the lower class first if they tie. rest is in random order, picked ascending.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))
    counts = np.bincount(y)
    quotas = counts * n_picked // len(y)
    remainders = counts * n_picked % len(y)
    quotas[np.argsort(-remainders, kind="stable")[: n_picked - quotas.sum()]] += 1
    is_picked = np.zeros(len(y), dtype=bool)
    for label, quota in enumerate(quotas):
        is_picked[generator.permutation(np.flatnonzero(y == label))[:quota]] = True
    return generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)


def samples_of(data: SourceData, part: Part) -> Split:
    """Return the samples of one split."""
    source = data.test if part.array == "test" and data.test is not None else data.train
    return take(source, part.indices)


def take(source: Split, indices: NDArray[np.int64]) -> Split:
    """Return the samples at `indices`; a view if these are the first n in order, so that no mapped file is copied."""
    n_samples = len(indices)
    if not np.array_equal(indices, np.arange(n_samples)):
        return Split(_gathered(source.x, indices), _gathered(source.y, indices))
    if n_samples == len(source):
        return source
    return Split(source.x[:n_samples], source.y[:n_samples])


def _gathered(array: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    # take is many times faster here than indexing a four-dimensional array.
    return np.take(array, indices, axis=0)
