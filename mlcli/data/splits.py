"""Which samples are for training, validation and test: a pure function of the labels and the configuration."""

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
    from mlcli.records import DatasetInfo

DEFAULT_TEST_FRACTION = 0.2
# Separate the random streams that share a split seed.
_TEST_STREAM, _VALIDATION_STREAM = 0x7E, 0x7A


@dataclass(frozen=True)
class Part:
    """Samples of one split: positions, int64 (n,), in the source's training or test array."""

    array: Literal["train", "test"]
    indices: NDArray[np.int64]


@dataclass(frozen=True)
class SplitPlan:
    """The three splits, and what the reader of a score must know of them."""

    train: Part
    validation: Part | None
    test: Part
    notes: tuple[str, ...]

    def digest(self) -> str:
        """sha256 (hex) over split name, source array, count and little-endian int64 indices of each split in turn."""
        sha256 = hashlib.sha256()
        for name, part in (("train", self.train), ("validation", self.validation), ("test", self.test)):
            if part is not None:
                sha256.update(f"{name} {part.array} {len(part.indices)}\n".encode())
                sha256.update(part.indices.astype("<i8").tobytes())
        return sha256.hexdigest()


def plan_splits(config: DatasetConfig, info: DatasetInfo, y: NDArray[np.int64], n_test: int) -> SplitPlan:
    """Test split first, then validation from what is left, then the limit.

    y: the labels of the source's training array; n_test: the size of its own test set, 0 where it has none.
    What a stratified split leaves for training is in seeded random order, so that the first N samples
    are a fair sample even of a source that is sorted by class. UsageError for a split without samples.
    """
    train, test, notes = _test_part(config, y, n_test)
    train, validation = _validation_part(config, y, train)
    if config.limit is not None and config.limit > len(train):
        notes.append(f"limit {config.limit} is more than the {len(train)} training samples there are; all are used")
    train_part = Part("train", train[: config.limit])
    test = test or train_part
    if config.validation == "test":
        validation = test
        notes.append("validation watches the test split: what was selected by it has seen the test set")
    n_classes = np.count_nonzero(np.bincount(y[train_part.indices]))
    if n_classes < info.n_classes:
        notes.append(f"the {len(train_part.indices)} training samples hold {n_classes} of {info.n_classes} classes")
    return SplitPlan(train_part, validation, test, tuple(notes))


def _test_part(
    config: DatasetConfig, y: NDArray[np.int64], n_test: int
) -> tuple[NDArray[np.int64], Part | None, list[str]]:
    """What is left for training, the test split (None: it will be the training split itself), and the notes."""
    everything = np.arange(len(y), dtype=np.int64)
    if config.test == "train":
        return everything, None, ["test scores are taken on the training data itself"]
    if config.test == "auto" and n_test:
        return everything, Part("test", np.arange(n_test, dtype=np.int64)), []
    fraction = DEFAULT_TEST_FRACTION if config.test == "auto" else config.test
    rest, picked = stratified_split(y, _count("test", fraction, len(y)), config.split_seed, _TEST_STREAM)
    own = f"the test split is taken from the training data; the dataset's own {n_test} test samples are not used"
    return rest, Part("train", picked), [own] if n_test else []


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
        left = "none" if n_picked == 0 else "all of them, and none is left for training"
        raise UsageError(f"dataset.{name}: {fraction:g} of {n_samples} samples is {left}; choose another fraction")
    return n_picked


def stratified_split(
    y: NDArray[np.int64], n_picked: int, seed: int, stream: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Positions in y, drawn at random so that every class keeps its share: (rest, picked).

    Each class gives its share of n_picked rounded down; the samples still wanted come from the classes with
    the largest remainders (Hamilton's method), the lower class first where they tie.
    rest is in random order, picked ascending.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))
    counts = np.bincount(y)
    shares = counts * n_picked // len(y)
    remainders = counts * n_picked % len(y)
    shares[np.argsort(-remainders, kind="stable")[: n_picked - shares.sum()]] += 1
    is_picked = np.zeros(len(y), dtype=bool)
    for label, share in enumerate(shares):
        is_picked[generator.permutation(np.flatnonzero(y == label))[:share]] = True
    return generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)


def take(source: Split, indices: NDArray[np.int64]) -> Split:
    """The samples at `indices`; a view where they are the first ones in order, so that mapped files are not copied."""
    n_samples = len(indices)
    if not np.array_equal(indices, np.arange(n_samples)):
        return Split(_gathered(source.x, indices), _gathered(source.y, indices))
    if n_samples == len(source):
        return source
    return Split(source.x[:n_samples], source.y[:n_samples])


def _gathered(array: NDArray[Any], indices: NDArray[np.int64]) -> NDArray[Any]:
    # take is many times faster here than indexing a four-dimensional array.
    return np.take(array, indices, axis=0)
