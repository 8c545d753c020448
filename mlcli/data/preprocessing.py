"""What happens between a source and training: split, limit, and fit the scaling on the training samples.

The splits are a pure function of the labels and the configuration.
"""

from __future__ import annotations

import functools
import hashlib
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.source import SourceData
from mlcli.errors import UsageError
from mlcli.records import Dataset, DatasetInfo, Scaling, Split
from mlcli.registry import DEFAULT_TEST_FRACTION

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]

# Separate the random streams that use the same split seed.
_TEST_STREAM, _VALIDATION_STREAM = 0x7E, 0x7A
_CHUNK = 1024  # images converted to float64 at a time


@dataclass(frozen=True, eq=False)
class Part:
    """The samples of one split: positions, int64 (n,), in the training or test array of the source.

    Splits with the same samples share one object.
    """

    array: Literal["train", "test"]
    indices: Indices


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


def preprocess(data: SourceData, info: DatasetInfo, maximum: float | None, config: DatasetConfig) -> Dataset:
    """Return the split and limited dataset, with a fitted scaling. UsageError for a split without samples.

    maximum: the largest value a feature can take, None if that is not known beforehand.
    """
    plan = plan_splits(config, info, data.train.y, len(data.test) if data.test else 0)
    samples = functools.cache(functools.partial(_samples, data))
    train = samples(plan.train)
    return Dataset(
        info=info,
        train=train,
        validation=samples(plan.validation) if plan.validation else None,
        test=samples(plan.test),
        scaling=fit_scaling(config.scaling, info, maximum, train.x),
        fingerprint=data.fingerprint,
        split_digest=plan.digest(),
        notes=plan.notes,
    )


def plan_splits(config: DatasetConfig, info: DatasetInfo, y: Labels, n_test: int) -> SplitPlan:
    """Split off the test samples, then the validation samples, then apply the limit to the training samples.

    y: the labels of the source's training array; n_test: the size of its test array, 0 if it has none. After a
    stratified split the training samples are in seeded random order, so that the first N are a fair sample even of a
    source that is sorted by class. UsageError for a split without samples.
    """
    train, test, notes = _test_part(config, y, n_test)
    train, validation = _validation_part(config, y, train)
    if config.limit is not None and config.limit > len(train):
        notes.append(f"limit {config.limit} exceeds the {len(train)} training samples; all are used")
    train = train[: config.limit]
    train_part = Part("train", train)
    test = test or train_part
    if config.validation == "test":
        validation = test
        notes.append("validation uses the test split, so choices based on validation scores have seen the test set")
    n_classes = np.count_nonzero(np.bincount(y[train]))
    if n_classes < info.n_classes:
        notes.append(f"the {len(train)} training samples contain only {n_classes} of {info.n_classes} classes")
    return SplitPlan(train_part, validation, test, tuple(notes))


def _test_part(config: DatasetConfig, y: Labels, n_test: int) -> tuple[Indices, Part | None, list[str]]:
    """Return the positions left for training, the test split (None: same as the training split), and the notes."""
    everything = np.arange(len(y), dtype=np.int64)
    if config.test == "train":
        return everything, None, ["test scores are computed on the training data"]
    if config.test == "auto" and n_test:
        return everything, Part("test", np.arange(n_test, dtype=np.int64)), []
    fraction = DEFAULT_TEST_FRACTION if config.test == "auto" else config.test
    rest, picked = _pick("test", fraction, y, config.split_seed, _TEST_STREAM)
    note = f"the test split is taken from the training data; the {n_test} test samples of the dataset are not used"
    return rest, Part("train", picked), [note] if n_test else []


def _validation_part(config: DatasetConfig, y: Labels, train: Indices) -> tuple[Indices, Part | None]:
    if config.validation is None or config.validation == "test":
        return train, None
    rest, picked = _pick("validation", config.validation, y[train], config.split_seed, _VALIDATION_STREAM)
    return train[rest], Part("train", np.sort(train[picked]))


def _pick(name: str, fraction: float, y: Labels, seed: int, stream: int) -> tuple[Indices, Indices]:
    """Return the rest and the picked fraction of a stratified split, neither of which is empty."""
    n_picked = round(fraction * len(y))
    if not 0 < n_picked < len(y):
        problem = "selects none" if n_picked == 0 else "leaves none for training"
        raise UsageError(f"dataset.{name}: {fraction:g} of {len(y)} samples {problem}; choose another fraction")
    return stratified_split(y, n_picked, seed, stream)


def stratified_split(y: Labels, n_picked: int, seed: int, stream: int = 0) -> tuple[Indices, Indices]:
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


def _samples(data: SourceData, part: Part) -> Split:
    return take(data.test if part.array == "test" and data.test is not None else data.train, part.indices)


def take(source: Split, indices: Indices) -> Split:
    """Return the samples at `indices`; a view if these are the first n in order, so that no mapped file is copied."""
    n_samples = len(indices)
    if not np.array_equal(indices, np.arange(n_samples)):
        # np.take is many times faster here than indexing a four-dimensional array.
        return Split(np.take(source.x, indices, axis=0), np.take(source.y, indices))
    if n_samples == len(source):
        return source
    return Split(source.x[:n_samples], source.y[:n_samples])


def fit_scaling(
    kind: Literal["auto", "none", "unit", "standard"], info: DatasetInfo, maximum: float | None, x: NDArray[Any]
) -> Scaling:
    """Return the scaling fitted on the training samples x (n, *input_shape).

    unit: to [0, 1], by `maximum` if it is known (images), else by the minimum and maximum of each feature in x.
    standard: to mean 0 and deviation 1 (population deviation, float64), per feature for tables, over all pixels for
    images. auto: unit for images, standard for tables. A feature that is constant in x is divided by 1. A feature that
    stands for a category stays 0 or 1.
    """
    if kind == "auto":
        kind = "unit" if info.kind == "image" else "standard"
    if kind == "none":
        return Scaling("none")
    if kind == "unit" and maximum is not None:
        return Scaling("unit", scale=maximum)
    if kind == "standard" and info.kind == "image":
        return _standard_pixels(x)
    values = x.astype(np.float64)
    if kind == "unit":
        shift, scale = values.min(axis=0), np.ptp(values, axis=0)
    else:
        shift, scale = values.mean(axis=0), values.std(axis=0)
    if info.encoding is not None:
        is_category = np.array(info.encoding.is_category)
        shift, scale = np.where(is_category, 0.0, shift), np.where(is_category, 1.0, scale)
    return Scaling(kind, shift, np.where(scale == 0, 1.0, scale))


def _standard_pixels(x: NDArray[Any]) -> Scaling:
    """Return the scaling by one mean and one deviation over all pixels.

    The sums of bytes and of their squares are integers below 2**53, so they are exact in any order.
    """
    total, squares = 0, 0
    for start in range(0, len(x), _CHUNK):
        values = x[start : start + _CHUNK].astype(np.float64).ravel()
        total += int(values.sum())
        squares += int(values @ values)
    variance = (x.size * squares - total * total) / (x.size * x.size)
    return Scaling("standard", shift=np.array(total / x.size), scale=math.sqrt(variance) or 1.0)
