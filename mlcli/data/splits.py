"""Splits into training, validation and test samples: a pure function of the labels and the configuration.

They are stratified, unless a source has groups, times or parts of its samples: `dataset.group`, `dataset.time` and
`dataset.split_column`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.group_splits import dealt_groups, picked_groups
from mlcli.data.time_splits import latest, time_window
from mlcli.errors import UsageError
from mlcli.records import DatasetInfo
from mlcli.registry import DEFAULT_TEST_FRACTION
from mlcli.text import listed

Indices = NDArray[np.int64]
Labels = NDArray[np.int64]
Codes = NDArray[np.int64]

# Separate the random streams that use the same split seed.
_TEST_STREAM, _VALIDATION_STREAM, _FOLD_STREAM = 0x7E, 0x7A, 0xF0
TRAIN, VALIDATION, TEST = range(3)  # in `SplitSource.parts`
_DIFFERENT_SIZE = 0.1  # of the size that was asked for
_DIFFERENT_PROPORTION = 0.1  # of all samples of a split
_N_SHOWN = 6


@dataclass(frozen=True, eq=False)
class SplitSource:
    """What splits are made of: the training array of a source by its labels, and the sizes of its other arrays.

    At most one of groups, times and parts is given, each int64 (n,).
    """

    y: Labels
    n_test: int = 0  # 0 if the source has no test set
    n_validation: int = 0
    groups: Codes | None = None  # a number for each group, whose samples are never on both sides of a split
    times: Codes | None = None  # the order of the samples in time: equal for equal times
    parts: Codes | None = None  # TRAIN, VALIDATION or TEST

    def take(self, indices: Indices) -> Self:
        """Return what the splits of some samples of the training array are made of."""
        groups, times = (None if codes is None else codes[indices] for codes in (self.groups, self.times))
        return replace(self, y=self.y[indices], groups=groups, times=times, parts=None)


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

    After a split the training samples are in seeded random order, so that the first N are a fair sample even of a
    source that is sorted by class or time. UsageError for a split without samples.
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
    notes += _class_notes(info, source.y, train_part, test)
    return SplitPlan(train_part, validation, test, tuple(notes))


def unsplit(n_samples: int) -> SplitPlan:
    """Return the plan in which all samples are the training split and the test split, for data to be scored whole."""
    whole = Part("train", np.arange(n_samples, dtype=np.int64))
    return SplitPlan(whole, None, whole, ())


def _test_part(config: DatasetConfig, source: SplitSource) -> tuple[Indices, Part | None, list[str]]:
    """Return the positions left for training, the test split (None: same as the training split), and the notes."""
    n_test = source.n_test
    everything = np.arange(len(source.y), dtype=np.int64)
    if config.test == "train":
        return everything, None, ["test scores are computed on the training data"]
    notes = [f"the test split is taken from the training data; the {n_test} test samples of the dataset are not used"]
    notes = notes if n_test else []
    if source.parts is not None:
        rest = _generator(config.split_seed, _TEST_STREAM).permutation(everything[source.parts != TEST])
        return rest, Part("train", everything[source.parts == TEST]), notes
    if config.folds is not None:
        rest, picked = _fold(config.folds, config.fold, source, config.split_seed)
        n_later = len(everything) - len(rest) - len(picked)
        later = [f"fold {config.fold} of {config.folds} in time: the {n_later} later samples are not used"]
        return rest, Part("train", picked), [*notes, *later] if n_later else notes
    if config.test == "auto" and n_test:
        return everything, Part("test", np.arange(n_test, dtype=np.int64)), []
    fraction = DEFAULT_TEST_FRACTION if config.test == "auto" else config.test
    rest, picked, more = _pick("test", fraction, source, config.split_seed, _TEST_STREAM)
    return rest, Part("train", picked), [*notes, *more]


def _validation_part(
    config: DatasetConfig, source: SplitSource, train: Indices
) -> tuple[Indices, Part | None, list[str]]:
    """Return the positions left for training, the validation split unless it is the test split, and the notes."""
    n_given = source.n_validation
    if source.parts is not None and (source.parts == VALIDATION).any():
        return _given_validation(config, source.parts, train)
    if config.validation is None and n_given:
        return train, Part("validation", np.arange(n_given, dtype=np.int64)), []
    notes = [f"the {n_given} validation samples of the dataset are not used"] if n_given else []
    if config.validation is None or config.validation == "test":
        return train, None, notes
    rest, picked, more = _pick(
        "validation", config.validation, source.take(train), config.split_seed, _VALIDATION_STREAM
    )
    return train[rest], Part("train", np.sort(train[picked])), [*notes, *more]


def _given_validation(config: DatasetConfig, parts: Codes, train: Indices) -> tuple[Indices, Part, list[str]]:
    if config.validation is not None:
        raise UsageError(
            f"dataset.validation: {config.validation}, but rows of column {config.split_column!r} say validation; "
            "remove one of them"
        )
    is_validation = parts[train] == VALIDATION
    return train[~is_validation], Part("train", np.sort(train[is_validation])), []


def _pick(
    name: str, fraction: float, source: SplitSource, seed: int, stream: int
) -> tuple[Indices, Indices, list[str]]:
    """Return the rest and the picked fraction, neither of which is empty, and notes on a size that was not asked for.

    rest is in random order, picked ascending.
    """
    n_samples = len(source.y)
    n_picked = round(fraction * n_samples)
    if not 0 < n_picked < n_samples:
        problem = "selects none" if n_picked == 0 else "leaves none for training"
        raise UsageError(f"dataset.{name}: {fraction:g} of {n_samples} samples {problem}; choose another fraction")
    if source.groups is not None:
        generator = _generator(seed, stream)
        is_picked = picked_groups(fraction, source.y, source.groups, generator)
        whole = "groups stay whole"
    elif source.times is not None:
        generator = _generator(seed, stream)
        is_picked = latest(source.times, n_picked)
        whole = "samples of the same time stay together"
    else:
        return *stratified_split(source.y, n_picked, seed, stream), []
    rest, picked = generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)
    is_different = abs(len(picked) - n_picked) > _DIFFERENT_SIZE * n_picked
    size = f"the {name} split has {len(picked)} samples, and {fraction:g} of them would be {n_picked}: {whole}"
    return rest, picked, [size] if is_different else []


def _fold(n_folds: int, fold: int, source: SplitSource, seed: int) -> tuple[Indices, Indices]:
    """Return the positions to train on, in random order, and those of one of n_folds parts, ascending."""
    if n_folds > len(source.y):
        raise UsageError(f"dataset.folds: {n_folds} folds of {len(source.y)} samples; choose fewer")
    if source.groups is None and source.times is None:
        return stratified_fold(source.y, n_folds, fold, seed)
    generator = _generator(seed, _FOLD_STREAM)
    if source.times is not None:
        is_rest, is_picked = time_window(source.times, n_folds, fold)
    else:
        assert source.groups is not None
        n_groups = len(np.unique(source.groups))
        if n_folds > n_groups:
            raise UsageError(f"dataset.folds: {n_folds} folds of {n_groups} groups; choose fewer")
        is_picked = dealt_groups(source.y, source.groups, np.full(n_folds, 1 / n_folds), generator) == fold
        is_rest = ~is_picked
    return generator.permutation(np.flatnonzero(is_rest)), np.flatnonzero(is_picked)


def stratified_fold(y: Labels, n_folds: int, fold: int, seed: int) -> tuple[Indices, Indices]:
    """Return (rest, picked): the positions outside and inside one of n_folds parts of y with its class proportions.

    The samples of each class, in random order, are dealt to the parts in turn, one class after the other, so that
    parts differ by at most one sample, in all and of each class. rest is in random order, picked ascending.
    """
    generator = _generator(seed, _FOLD_STREAM)
    dealt = np.concatenate([generator.permutation(np.flatnonzero(y == label)) for label in range(int(y.max()) + 1)])
    is_picked = np.zeros(len(y), dtype=bool)
    is_picked[dealt[fold::n_folds]] = True
    return generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)


def stratified_split(y: Labels, n_picked: int, seed: int, stream: int = 0) -> tuple[Indices, Indices]:
    """Pick n_picked positions in y at random with the class proportions of y; return (rest, picked).

    Each class gets its quota of n_picked rounded down; the remaining places go to the classes with the largest
    remainders (Hamilton's method), the lower class first if they tie. rest is in random order, picked ascending.
    """
    generator = _generator(seed, stream)
    counts = np.bincount(y)
    quotas = counts * n_picked // len(y)
    remainders = counts * n_picked % len(y)
    quotas[np.argsort(-remainders, kind="stable")[: n_picked - quotas.sum()]] += 1
    is_picked = np.zeros(len(y), dtype=bool)
    for label, quota in enumerate(quotas):
        is_picked[generator.permutation(np.flatnonzero(y == label))[:quota]] = True
    return generator.permutation(np.flatnonzero(~is_picked)), np.flatnonzero(is_picked)


def _class_notes(info: DatasetInfo, y: Labels, train: Part, test: Part) -> list[str]:
    """Return notes on classes that a split lacks, or that have another proportion in it."""
    of_train = np.bincount(y[train.indices], minlength=info.n_classes)
    n_found = np.count_nonzero(of_train)
    notes = []
    if n_found < info.n_classes:
        lacking = f"{n_found} of {info.n_classes} classes, none of {_absent(info, of_train)}"
        notes.append(f"the {len(train.indices)} training samples contain only {lacking}")
    if test.array != "train" or test is train:
        return notes
    of_test = np.bincount(y[test.indices], minlength=info.n_classes)
    if not of_test.all():
        notes.append(
            f"the {len(test.indices)} test samples contain none of {_absent(info, of_test)}, so scores omit it"
        )
    proportions = np.array([of_train / of_train.sum(), of_test / of_test.sum()])
    label = int(np.abs(proportions[0] - proportions[1]).argmax())
    in_train, in_test = proportions[:, label].tolist()
    if abs(in_train - in_test) > _DIFFERENT_PROPORTION:
        notes.append(
            f"class proportions differ between the splits: {info.class_names[label]!r} is {in_train:.0%} of the "
            f"training samples and {in_test:.0%} of the test samples"
        )
    return notes


def _absent(info: DatasetInfo, counts: NDArray[np.int64]) -> str:
    return listed([repr(name) for name, n in zip(info.class_names, counts.tolist(), strict=True) if not n], _N_SHOWN)


def _generator(seed: int, stream: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, stream])))
