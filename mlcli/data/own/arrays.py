"""The dataset of a person's own arrays: samples x and labels y, in one file with their parts or a file for each part.

x of two axes is a table, (n, features). Three axes are grey images, (n, height, width). Four are images with 1, 3 or 4
channels, which are the second or the last axis; where both or neither have one of these lengths, they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DEFAULT_MISSING, DatasetConfig
from mlcli.data.own.array_file import ArrayFile, ArrayPair, Part, StoredArray, open_arrays
from mlcli.data.own.encoding import MAX_VALUE
from mlcli.data.own.files import location_of
from mlcli.data.own.labels import Labels, check_n_classes, known_labels, label_text, new_labels
from mlcli.data.own.table import check_storable
from mlcli.data.preprocessing import as_native, is_scored_whole, preprocess
from mlcli.data.source import SourceData, fingerprint
from mlcli.data.splits import unsplit
from mlcli.errors import DataError, UsageError
from mlcli.records import Dataset, DatasetInfo, DatasetKind, Preprocessing, Split
from mlcli.text import escaped

MAX_FEATURES = 16_000  # names, means and deviations of more would not fit into the record of a run
CHANNELS = (1, 3, 4)
_MAX_PIXELS = 2**24  # of one image, all channels
_BLOCK_BYTES = 2**24  # checked at a time
_MAX_NAME = 100  # characters of the name of a feature


@dataclass(frozen=True, eq=False)
class ArraySamples:
    """The arrays of one part. raw: as they were read; x: as engines get them, (n, *input_shape)."""

    pair: ArrayPair
    raw: Mapping[Literal["x", "y"], NDArray[Any]]
    kind: DatasetKind
    x: NDArray[Any]


@dataclass(frozen=True, eq=False)
class OwnArrays:
    """Arrays as they were read, and the dataset that they became."""

    parts: Mapping[Part, ArraySamples]
    dataset: Dataset


def array_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset of arrays.

    UsageError for settings that only tables have, DataError for files that are missing or are no arrays to learn
    classes from.
    """
    return read_own_arrays(config).dataset


def read_own_arrays(config: DatasetConfig) -> OwnArrays:
    """Return the arrays of the files of a configuration; raises what `array_dataset` raises."""
    parts, names = _read_parts(config)
    train = parts["train"]
    with _located(train.pair.y):
        labels = new_labels(*_label_texts(train.raw["y"]), has_test_file="test" in parts)
    info = _info(config, parts, labels.class_names)
    if info.kind == "table":
        info = replace(info, feature_names=_feature_names(names, info.input_shape[0]))
    return OwnArrays(parts, _dataset(config, info, parts, labels, "training data"))


def stored_arrays(config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None) -> Dataset:
    """Return the dataset of the arrays of a configuration, with the classes of a run.

    trained_on: see `stored_dataset`. DataError for samples of another shape or type, and for labels that are none of
    its classes.
    """
    parts, _ = _read_parts(config)
    train = parts["train"]
    _check_same(train, preprocessing.input_shape, is_bytes=preprocessing.value_range is not None, owner="the run")
    with _located(train.pair.y):
        labels = known_labels(*_label_texts(train.raw["y"]), preprocessing.class_names, "run")
    info = replace(
        _info(config, parts, preprocessing.class_names),
        feature_names=preprocessing.feature_names,
        maximum=preprocessing.value_range and preprocessing.value_range[1],
    )
    return _dataset(config, info, parts, labels, "run", trained_on)


def _dataset(
    config: DatasetConfig,
    info: DatasetInfo,
    parts: Mapping[Part, ArraySamples],
    labels: Labels,
    owner: str,
    trained_on: str | None = None,
) -> Dataset:
    splits: dict[str, Split] = {"train": Split(parts["train"].x, labels.y)}
    for part, samples in parts.items():
        if part != "train":
            with _located(samples.pair.y):
                found = known_labels(*_label_texts(samples.raw["y"]), info.class_names, owner)
            splits[part] = Split(samples.x, found.y)
    raw = {f"{part}_{role}": array for part, samples in parts.items() for role, array in samples.raw.items()}
    data = SourceData(splits["train"], splits.get("test"), fingerprint(raw), splits.get("validation"))
    dataset = preprocess(data, info, config, unsplit(len(data.train)) if is_scored_whole(data, trained_on) else None)
    with _located(parts["train"].pair.x):
        check_storable(dataset)
    notes = [f"{samples.pair.x.location}: {_description(samples)}" for samples in parts.values()]
    return replace(dataset, notes=(*dataset.notes, *notes, *labels.notes))


def _description(samples: ArraySamples) -> str:
    n, shape = f"{len(samples.x):,}", samples.x.shape[1:]
    if samples.kind == "table":
        return f"{n} samples with {shape[0]:,} features"
    last = ", channels last" if samples.raw["x"].ndim == 4 and samples.raw["x"].shape[1:] != shape else ""
    return f"{n} images of {'x'.join(map(str, shape))} (channels, height, width){last}"


def _info(config: DatasetConfig, parts: Mapping[Part, ArraySamples], class_names: tuple[str, ...]) -> DatasetInfo:
    train = parts["train"]
    n_samples = {part: len(samples.x) for part, samples in parts.items()}
    return DatasetInfo(
        name=config.label,
        kind=train.kind,
        input_shape=train.x.shape[1:],
        class_names=class_names,
        feature_names=(),
        n_train=len(train.x),
        n_test=n_samples.get("test", 0),
        title=train.pair.x.location,
        n_validation=n_samples.get("validation", 0),
        maximum={"u": 255.0, "b": 1.0}[train.raw["x"].dtype.kind] if train.x.dtype == np.uint8 else None,
    )


def _read_parts(config: DatasetConfig) -> tuple[dict[Part, ArraySamples], StoredArray | None]:
    """Return the arrays by part, the training part first, and the names of features if the training file has them."""
    given = {"target": config.target, "columns": config.columns, "missing": config.missing != DEFAULT_MISSING}
    given |= config.split_columns
    path = Path(config.path or "")
    for key in filter(given.get, given):
        raise UsageError(
            f"dataset.{key}: {location_of(path)} holds arrays and their labels; remove it, it is for tables"
        )
    file = open_arrays(path)
    pairs = _own_pairs(file)
    others: tuple[tuple[str, Part, str | None], ...] = (
        ("test_path", "test", config.test_path),
        ("validation_path", "validation", config.validation_path),
    )
    for key, part, other in others:
        if other is None:
            continue
        if part in pairs:
            raise UsageError(f"dataset.{key}: {file.location} has {part} arrays of its own; remove one of them")
        pairs[part] = _only_pair(open_arrays(Path(other)), part)
    parts: dict[Part, ArraySamples] = {part: _samples(pair) for part, pair in pairs.items()}
    train = parts["train"]
    for samples in parts.values():
        is_bytes, owner = train.x.dtype == np.uint8, train.pair.x.location
        _check_same(samples, train.x.shape[1:], is_bytes=is_bytes, owner=owner)
    return parts, file.feature_names


def _own_pairs(file: ArrayFile) -> dict[Part, ArrayPair]:
    """Return the pairs of the training file by part; arrays without a part are for training."""
    if None in file.pairs and "train" in file.pairs:
        raise DataError(f"{file.location}: x and y, and x_train and y_train as well; remove one pair")
    pairs: dict[Part, ArrayPair] = {part or "train": pair for part, pair in file.pairs.items()}
    if "train" not in pairs:
        raise DataError(f"{file.location}: it has no x and y, or x_train and y_train, for training")
    return {part: pairs[part] for part in ("train", "validation", "test") if part in pairs}


def _only_pair(file: ArrayFile, part: Part) -> ArrayPair:
    """Return the pair of a file for one part: the one of that name, else the one without a part."""
    pair = file.pairs.get(part) or file.pairs.get(None)
    if pair is None:
        raise DataError(f"{file.location}: it has no x and y, or x_{part} and y_{part}")
    return pair


def _samples(pair: ArrayPair) -> ArraySamples:
    shape = pair.x.header.shape
    with _located(pair.x):
        if pair.x.header.dtype.kind not in "buif":
            raise DataError(f"values of type {escaped(str(pair.x.header.dtype), _MAX_NAME)}, expected numbers")
        if 0 in shape:
            raise DataError(f"an empty array, of shape {shape}")
        kind, axis = _layout(shape)
    n_labels = pair.y.header.shape[:1]
    if n_labels != shape[:1]:
        raise DataError(f"{pair.y.location}: {n_labels[0] if n_labels else 'no'} labels for {shape[0]:,} samples in x")
    x, y = pair.x.load(), pair.y.load()
    with _located(pair.x):
        values = x[:, np.newaxis] if kind == "image" and x.ndim == 3 else np.moveaxis(x, axis, 1)
        values = as_native(np.ascontiguousarray(values))
        _check_values(values)
    return ArraySamples(pair, {"x": x, "y": y}, kind, values)


def _layout(shape: tuple[int, ...]) -> tuple[DatasetKind, int]:
    """Return the kind of samples and the axis of their channels; DataError for a shape that does not say it."""
    if len(shape) == 2:
        if shape[1] > MAX_FEATURES:
            raise DataError(
                f"{shape[1]:,} features, and a table may have {MAX_FEATURES:,}\n"
                "if these are pixels, reshape it to (n, height, width) or (n, channels, height, width)"
            )
        return "table", 1
    if len(shape) == 3:
        return "image", 1
    if len(shape) != 4:
        raise DataError(f"shape {shape}; expected (n, features), (n, height, width) or (n, channels, height, width)")
    axes = [axis for axis in (1, 3) if shape[axis] in CHANNELS]
    if shape[1] * shape[2] * shape[3] > _MAX_PIXELS:
        raise DataError(f"shape {shape}: images of more than {_MAX_PIXELS:,} values; make them smaller")
    if len(axes) != 1:
        problem = "both its second and its last axis" if axes else "neither its second nor its last axis"
        advice = (
            "drop the axis of length 1: (n, height, width)"
            if 1 in (shape[1], shape[3])
            else ("reshape it to (n, features), which is a table")
        )
        raise DataError(f"shape {shape}: {problem} can be the 1, 3 or 4 channels of images\n{advice}")
    return "image", axes[0]


def _check_same(samples: ArraySamples, shape: tuple[int, ...], *, is_bytes: bool, owner: str) -> None:
    """DataError for samples of another shape, or of bytes where the others are not, for then their range differs."""
    found = samples.x.shape[1:]
    if found != shape:
        sizes = ["x".join(map(str, size)) for size in (found, shape)]
        raise DataError(f"{samples.pair.x.location}: samples of shape {sizes[0]}, and {owner} has {sizes[1]}")
    if (samples.x.dtype == np.uint8) != is_bytes:
        kinds = ("bytes (uint8)", samples.raw["x"].dtype.name)
        there, here = kinds if is_bytes else ("other numbers", "bytes (uint8)")
        raise DataError(f"{samples.pair.x.location}: {here}, and {owner} has {there}; store both as one type")


def _blocks(x: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
    n_rows = max(1, _BLOCK_BYTES // max(1, x[:1].nbytes))
    return ((start, x[start : start + n_rows]) for start in range(0, len(x), n_rows))


def _check_values(x: NDArray[Any]) -> None:
    """DataError with the position of the first value that is NaN, infinite or beyond MAX_VALUE."""
    for start, block in _blocks(x) if x.dtype.kind == "f" else ():
        is_valid = np.abs(block) <= MAX_VALUE  # False for NaN too
        if not is_valid.all():
            row, *position = np.argwhere(~is_valid)[0].tolist()
            value = block[(row, *position)]
            problem = "a missing value (nan)" if np.isnan(value) else f"{value}"
            raise DataError(
                f"sample {start + row:,} (from 0), position {position}: {problem}; expected a number up to "
                f"{MAX_VALUE:g}\nfill or remove such samples before they are stored"
            )


def _label_texts(y: NDArray[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the position of each label in the texts of all different ones; DataError for what is not a label."""
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim == 2 and y.dtype.kind in "buif" and ((y == 1).sum(axis=1) == 1).all() and np.count_nonzero(y) == len(y):
        raise DataError("one-hot labels; store their classes, e.g. y.argmax(axis=1)")
    if y.ndim != 1:
        raise DataError(f"labels of shape {y.shape}, expected one label for each sample, (n,)")
    if y.dtype.kind not in "buifUS":
        raise DataError(f"labels of type {escaped(str(y.dtype), _MAX_NAME)}, expected whole numbers or texts")
    if y.dtype.kind == "f":
        y = _whole_numbers(y)
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise DataError(f"labels that are not UTF-8 text: {error.reason}") from error
    found, codes = np.unique(y, return_inverse=True)
    check_n_classes(len(found))
    texts = [label_text(value) for value in found.tolist()]
    if "" in texts:
        raise DataError(f"sample {int(np.argmax(y == '')):,} (from 0): the label is empty")
    return codes.reshape(-1).astype(np.int64), texts


def _whole_numbers(y: NDArray[Any]) -> NDArray[np.int64]:
    is_odd = ~np.isfinite(y)
    if is_odd.any():
        raise DataError(f"sample {int(is_odd.argmax()):,} (from 0): the label is {y[is_odd.argmax()]}; remove it")
    is_odd = (y % 1 != 0) | (np.abs(y) > 2**53)
    if is_odd.any():
        row = int(is_odd.argmax())
        raise DataError(
            f"sample {row:,} (from 0): the label {y[row]} is not a whole number\n"
            "a number to predict is regression, which mlcli does not do; classes are whole numbers or texts"
        )
    return y.astype(np.int64)


def _feature_names(array: StoredArray | None, n_features: int) -> tuple[str, ...]:
    """Return the names in an array of texts, else x0, x1, ...; DataError for names that do not fit."""
    if array is None:
        return tuple(f"x{number}" for number in range(n_features))
    with _located(array):
        if array.header.shape != (n_features,) or array.header.dtype.kind != "U":
            raise DataError(f"{array.header.dtype.name} {array.header.shape}, expected {n_features:,} texts")
        names = tuple(escaped(name, _MAX_NAME) for name in array.load().tolist())
        if len(set(names)) != n_features or "" in names:
            raise DataError("names that are empty or appear more than once")
    return names


@contextmanager
def _located(array: StoredArray) -> Iterator[None]:
    """Begin the message of a DataError with the location of an array, if it does not name it already."""
    try:
        yield
    except DataError as error:
        if str(error).startswith(array.location):
            raise
        raise DataError(f"{array.location}: {error}") from error
