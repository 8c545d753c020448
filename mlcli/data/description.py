"""The content of a dataset, as `mlcli data show` prints it: shapes, types, ranges, class counts and first rows."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.records import Dataset, Split
from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.tables import Fields, Row, print_csv, print_fields, print_markdown, print_table

_SCHEMA_VERSION = 1
_N_ROWS = 5
_SCALINGS = {"unit": "to [0, 1]", "standard": "to mean 0, deviation 1", "none": "no"}


@dataclass(frozen=True)
class SplitDescription:
    """One split of a dataset."""

    shape: tuple[int, ...]  # of all samples
    dtype: str
    minimum: float
    maximum: float
    class_counts: dict[str, int]


@dataclass(frozen=True)
class FeatureDescription:
    """One feature of a table, over its training split."""

    name: str
    minimum: float
    mean: float
    maximum: float


@dataclass(frozen=True)
class DatasetDescription:
    """A dataset as an experiment uses it by default; its fields are the keys of the JSON document. Values are raw."""

    name: str
    title: str
    kind: str
    input_shape: tuple[int, ...]  # of one sample
    scaling: str  # what training does to the values by default
    fingerprint: str
    splits: dict[str, SplitDescription]  # train and test
    features: tuple[FeatureDescription, ...]  # none for images
    rows: tuple[dict[str, object], ...]  # the first training samples of a table; none for images


def describe(dataset: Dataset) -> DatasetDescription:
    """Return the description of a loaded dataset."""
    info = dataset.info
    is_table = bool(info.feature_names)
    return DatasetDescription(
        name=info.name,
        title=info.title,
        kind=info.kind,
        input_shape=info.input_shape,
        scaling=dataset.scaling.kind,
        fingerprint=dataset.fingerprint,
        splits={"train": _split(dataset.train, info.class_names), "test": _split(dataset.test, info.class_names)},
        features=_features(info.feature_names, dataset.train.x) if is_table else (),
        rows=tuple(_row(dataset, index) for index in range(min(_N_ROWS, len(dataset.train)))) if is_table else (),
    )


def _split(split: Split, class_names: Sequence[str]) -> SplitDescription:
    counts = np.bincount(split.y, minlength=len(class_names)).tolist()
    smallest, largest = _floats([split.x.min(), split.x.max()])
    counted = dict(zip(class_names, counts, strict=True))
    return SplitDescription(split.x.shape, split.x.dtype.name, smallest, largest, counted)


def _features(names: Sequence[str], x: NDArray[Any]) -> tuple[FeatureDescription, ...]:
    means = x.mean(axis=0, dtype=np.float64).tolist()
    return tuple(map(FeatureDescription, names, _floats(x.min(axis=0)), means, _floats(x.max(axis=0))))


def _row(dataset: Dataset, index: int) -> dict[str, object]:
    info, train = dataset.info, dataset.train
    values = dict(zip(info.feature_names, _floats(train.x[index]), strict=True))
    return {"index": index, **values, "class": info.class_names[train.y[index]]}


def _floats(values: Iterable[Any]) -> list[float]:
    """Return numbers with the fewest digits that identify them."""
    return [float(str(value)) for value in values]


def print_description(description: DatasetDescription, output_format: str) -> None:
    """Print a dataset to stdout. CSV has one row per class, with its samples in each split."""
    tables: dict[str, Sequence[Row]] = {
        "Samples per class": _class_rows(description),
        "Features of the training split": [asdict(feature) for feature in description.features],
        "First training samples": description.rows,
    }
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            print_json({"schema_version": _SCHEMA_VERSION} | asdict(description))
        case OutputFormat.CSV:
            print_csv(tables["Samples per class"])
        case OutputFormat.MARKDOWN:
            fields = [field for section in _sections(description) for field in section]
            print_markdown([{description.title: label, "": value} for label, value in fields])
            for rows in filter(None, tables.values()):
                sys.stdout.write("\n")
                print_markdown(rows)
        case OutputFormat.TABLE:
            print_fields(description.title, _sections(description))
            for title, rows in tables.items():
                if rows:
                    print_table(title, rows)


def _sections(description: DatasetDescription) -> list[Fields]:
    whole = [("sample shape", _sizes(description.input_shape)), ("scaled by default", _SCALINGS[description.scaling])]
    parts = [
        [
            (f"{name} samples", f"{split.shape[0]:,}"),
            ("shape and type", f"{_sizes(split.shape)} {split.dtype}"),
            ("values", f"{split.minimum:g} to {split.maximum:g}"),
        ]
        for name, split in description.splits.items()
    ]
    return [whole, *parts]


def _sizes(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _class_rows(description: DatasetDescription) -> list[Row]:
    counts = {name: split.class_counts for name, split in description.splits.items()}
    return [{"class": name} | {split: of_split[name] for split, of_split in counts.items()} for name in counts["train"]]
