"""Splits into training, validation and test samples: a pure function of the labels and the configuration."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.errors import UsageError
from mlcli.records import DatasetInfo
from mlcli.registry import DEFAULT_TEST_FRACTION

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]

# Separate the random streams that use the same split seed.
_TEST_STREAM, _VALIDATION_STREAM, _FOLD_STREAM = 0x7E, 0x7A, 0xF0


@dataclass(frozen=True, eq=False)
class SplitSource:
    """What splits are made of: the training array of a source by its labels, and the sizes of its other arrays."""

    y: Labels
    n_test: int = 0  # 0 if the source has no test set
    n_validation: int = 0


@dataclass(frozen=True, eq=False)
class Part:
    """The samples of one split: positions, int64 (n,), in an array of the source.

    Splits with the same samples share one object.
    """

    array: Literal["train", "validation", "test"]
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


def plan_splits(config: DatasetConfig, info: DatasetInfo, source: SplitSource) -> SplitPlan:
    """Split off the test samples, then the validation samples, then apply the limit to the training samples.

    After a stratified split the training samples are in seeded random order, so that the first N are a fair sample even
    of a source that is sorted by class. UsageError for a split without samples.
    """
    train, test, notes = _test_part(config, source)
    train, validation, more = _validation_part(config, source, train)
    notes += more
    if config.limit is not None and config.limit > len(train):
        notes.append(f"limit {config.limit} exceeds the {len(train)} training samples; all are used")
    train = train[: config.limit]
    train_part = Part("train", train)
    test = test or train_part
    if config.validation == "test":
        validation = test
        notes.append("validation uses the test split, so choices based on validation scores have seen the test set")
    n_classes = np.count_nonzero(np.bincount(source.y[train]))
    if n_classes < info.n_classes:
        notes.append(f"the {len(train)} training samples contain only {n_classes} of {info.n_classes} classes")
    return SplitPlan(train_part, validation, test, tuple(notes))


def _test_part(config: DatasetConfig, source: SplitSource) -> tuple[Indices, Part | None, list[str]]:
    """Return the positions left for training, the test split (None: same as the training split), and the notes."""
    y, n_test = source.y, source.n_test
    everything = np.arange(len(y), dtype=np.int64)
    if config.test == "train":
        return everything, None, ["test scores are computed on the training data"]
    notes = [f"the test split is taken from the training data; the {n_test} test samples of the dataset are not used"]
    if config.folds is not None:
        rest, picked = stratified_fold(y, config.folds, config.fold, config.split_seed)
        return rest, Part("train", picked), notes if n_test else []
    if config.test == "auto" and n_test:
        return everything, Part("test", np.arange(n_test, dtype=np.int64)), []
    fraction = DEFAULT_TEST_FRACTION if config.test == "auto" else config.test
    rest, picked = _pick("test", fraction, y, config.split_seed, _TEST_STREAM)
    return rest, Part("train", picked), notes if n_test else []


def _validation_part(
    config: DatasetConfig, source: SplitSource, train: Indices
) -> tuple[Indices, Part | None, list[str]]:
    """Return the positions left for training, the validation split unless it is the test split, and the notes."""
    n_given = source.n_validation
    if config.validation is None and n_given:
        return train, Part("validation", np.arange(n_given, dtype=np.int64)), []
    notes = [f"the {n_given} validation samples of the dataset are not used"] if n_given else []
    if config.validation is None or config.validation == "test":
        return train, None, notes
    y = source.y[train]
    rest, picked = _pick("validation", config.validation, y, config.split_seed, _VALIDATION_STREAM)
    return train[rest], Part("train", np.sort(train[picked])), notes


def stratified_fold(y: Labels, n_folds: int, fold: int, seed: int) -> tuple[Indices, Indices]:
    """Return (rest, picked): the positions outside and inside one of n_folds parts of y with its class proportions.

    The samples of each class, in random order, are dealt to the parts in turn, one class after the other, so that
    parts differ by at most one sample, in all and of each class. rest is in random order, picked ascending. UsageError
    for more folds than samples.
    """
    if n_folds > len(y):
        raise UsageError(f"dataset.folds: {n_folds} folds of {len(y)} samples; choose fewer")
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _FOLD_STREAM])))
    dealt = np.concatenate([generator.permutation(np.flatnonzero(y == label)) for label in range(int(y.max()) + 1)])
    is_picked = np.zeros(len(y), dtype=bool)
    is_picked[dealt[fold::n_folds]] = True
    return generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)


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
