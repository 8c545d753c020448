"""What is in a person's own arrays, and what looks wrong with them beyond what is judged by column and by class."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.arrays import OwnArrays
from mlcli.data.own.column_store import ColumnStore, StoredColumn
from mlcli.data.own.table import OwnTable
from mlcli.records import Dataset
from mlcli.text import listed

_MAX_COLUMNS = 200  # of arrays that are judged column by column
_DARK = 128  # bytes: images in which no value reaches it use less than half of the range
_N_SHOWN = 6


@dataclass(frozen=True)
class InspectedArray:
    """One array as it is stored. minimum and maximum: None for texts."""

    name: str  # the file, and the name in it
    shape: tuple[int, ...]
    dtype: str
    minimum: float | None
    maximum: float | None


def inspected_arrays(own: OwnArrays) -> tuple[InspectedArray, ...]:
    """Return the samples and labels of every part, training first."""
    stored = [(getattr(part.pair, role), part.raw[role]) for part in own.parts.values() for role in part.raw]
    return tuple(_inspected(array.location, values) for array, values in stored)


def _inspected(name: str, values: NDArray[Any]) -> InspectedArray:
    if values.dtype.kind in "US":
        return InspectedArray(name, values.shape, "text", None, None)
    return InspectedArray(name, values.shape, values.dtype.name, float(values.min()), float(values.max()))


def as_table(own: OwnArrays) -> OwnTable:
    """Return the training samples as a table, whose columns can be judged one by one; without columns for images."""
    names = own.dataset.info.feature_names
    shown = names if len(names) <= _MAX_COLUMNS else ()
    x = own.dataset.train.x
    rows = ColumnStore({name: StoredColumn(name, x[:, index]) for index, name in enumerate(shown)})
    return OwnTable(rows, rows, dict.fromkeys(shown, "numeric"), {}, own.dataset)


def array_findings(own: OwnArrays) -> list[str]:
    """Return what looks wrong in the samples as a whole, each with what to do."""
    return [*_dark_images(own), *_constant_features(own), *repeated_samples(own.dataset)]


def _dark_images(own: OwnArrays) -> list[str]:
    x, info = own.dataset.train.x, own.dataset.info
    if info.kind != "image" or info.maximum != 255 or x.max() >= _DARK:
        return []
    return [
        f"no value of the images is above {x.max()}, and bytes are divided by 255: set dataset.scaling to standard, or "
        "store the images as float32"
    ]


def _constant_features(own: OwnArrays) -> list[str]:
    x, names = own.dataset.train.x, own.dataset.info.feature_names
    if len(names) <= _MAX_COLUMNS:
        return []  # images, and columns that are judged one by one
    constant = [names[index] for index in np.flatnonzero(x.min(axis=0) == x.max(axis=0))]
    if not constant:
        return []
    return [f"{len(constant):,} of {len(names):,} features are constant and tell nothing: {listed(constant, _N_SHOWN)}"]


def repeated_samples(dataset: Dataset) -> list[str]:
    """Return a finding if samples of the test split occur in the training split too."""
    known = set(map(_digest, dataset.train.x))
    n_repeated = sum(_digest(sample) in known for sample in dataset.test.x)
    if not n_repeated:
        return []
    return [
        f"{n_repeated:,} of {len(dataset.test):,} test samples are equal to a training sample: test scores are too "
        "good; remove repeated samples"
    ]


def _digest(sample: NDArray[Any]) -> bytes:
    return hashlib.blake2b(sample.tobytes(), digest_size=16).digest()
