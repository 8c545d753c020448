"""What is in a person's own data, and what looks wrong: the work of `mlcli data inspect`.

Everything is judged by the training rows, except for rows that occur on both sides of the split.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.config.experiment import load_experiment
from mlcli.data.own import holds_arrays, holds_images
from mlcli.data.own.array_inspection import InspectedArray, array_findings, as_table, inspected_arrays
from mlcli.data.own.arrays import read_own_arrays
from mlcli.data.own.audit import (
    accuracy_alone,
    alike_columns,
    comparable,
    group_findings,
    is_suspicious,
    order_findings,
    repeated_rows,
    value_groups,
)
from mlcli.data.own.encoding import text_of
from mlcli.data.own.image_dataset import read_own_images
from mlcli.data.own.image_inspection import InspectedImages, image_findings, inspected_images
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.table import OwnTable, read_own_table
from mlcli.data.own.table_file import TableFile
from mlcli.errors import UsageError
from mlcli.records import Dataset
from mlcli.registry import TABLE_SUFFIXES
from mlcli.rendering import OutputFormat, print_json
from mlcli.rendering.console import checked_format, escape, result_console
from mlcli.rendering.tables import Fields, print_csv, print_fields, print_markdown, print_table
from mlcli.text import escaped, listed

_NO_SETTINGS = ("settings", "data_dir")  # of the fields of a request
_CONFIG_SUFFIXES = (".yaml", ".yml")
_SCHEMA_VERSION = 1
_IMBALANCE = 0.8
_RARE_CLASS = 10  # training rows
_N_SHOWN = 6
_MAX_TEXT = 24  # characters of a text in the column of values
_N_CLASSES_SHOWN = 20


@dataclass(frozen=True)
class InspectedColumn:
    """One column by its training rows. kind: numeric, boolean, date, categorical, or ignored."""

    name: str
    kind: str
    n_missing: int
    n_distinct: int
    values: str  # the range of numbers, or the most frequent texts
    accuracy_alone: float | None  # of the best prediction of the target from this column; None for an ignored one


@dataclass(frozen=True)
class Inspection:
    """What was understood of data; its fields are the keys of the JSON document."""

    path: str
    target: str | None  # None for arrays
    n_rows: int
    n_train_rows: int
    n_features: int
    class_counts: dict[str, int]  # rows in all
    largest_class_accuracy: float  # of always predicting the largest class, on the training rows
    columns: tuple[InspectedColumn, ...]  # none for images, and for arrays with very many features
    findings: tuple[str, ...]  # what looks wrong, each with what to do
    arrays: tuple[InspectedArray, ...] = ()  # none for tables
    images: tuple[InspectedImages, ...] = ()  # by part, for a folder of images
    image_shape: tuple[int, ...] | None = None  # (channels, height, width) of its samples


@dataclass(frozen=True)
class InspectRequest:
    """One's own data: their files, or a configuration, and what is set over it.

    target: the column of a table with the labels; None for arrays. settings: each `key.path=value`.
    """

    path: Path
    target: str | None = None
    test_path: str | None = None
    validation_path: str | None = None
    group: str | None = None
    time: str | None = None
    split_column: str | None = None
    image_size: str | None = None
    on_bad: str | None = None
    settings: tuple[str, ...] = ()
    data_dir: Path | None = None

    def config(self) -> DatasetConfig:
        """Return the section `dataset`; UsageError for a table without a target, and for known data."""
        is_config = self.path.suffix.lower() in _CONFIG_SUFFIXES
        if self.target is None and not self.settings and self.path.name.lower().endswith(TABLE_SUFFIXES):
            file = TableFile(self.path, ())
            file = replace(file, has_header=file.is_parquet or file.first_number() is None)
            raise UsageError(
                "--target COLUMN: a table needs the name of the column with the labels\n"
                f"its columns: {listed(file.column_names(), 2 * _N_SHOWN)}"
            )
        keys = {
            name: str(value) for name, value in vars(self).items() if value is not None and name not in _NO_SETTINGS
        }
        flags = {f"dataset.{key}": value for key, value in keys.items() if not (is_config and key == "path")}
        config = load_experiment(self.path if is_config else None, flags=flags, settings=self.settings).dataset
        if config.path is None:
            raise UsageError(f"{escaped(str(self.path))}: not your own data; use mlcli data show {config.name}")
        return config


def inspect(request: InspectRequest, output_format: str) -> None:
    """Print how data are understood and what looks wrong; raises what reading them for a training raises."""
    output = checked_format(output_format)
    print_inspection(inspected(request.config(), request.data_dir), output)


def inspected(config: DatasetConfig, data_dir: Path | None = None) -> Inspection:
    """Return the inspection of the data of a configuration. data_dir: for prepared data, None for the default one."""
    if holds_arrays(config):
        return _inspected_arrays(config)
    if holds_images(config):
        return _inspected_images(config, data_dir)
    table = read_own_table(config, Preparation(data_dir))
    info, y = table.dataset.info, table.dataset.train.y
    columns = tuple(_column(table, name, y) for name in table.rows.columns if name != config.target)
    guess = float(np.bincount(y).max() / len(y))
    return Inspection(
        path=escaped(str(config.path)),
        target=str(config.target),
        n_rows=info.n_train + info.n_validation + info.n_test,
        n_train_rows=len(table.training),
        n_features=info.input_shape[0],
        class_counts=_class_counts(table.dataset),
        largest_class_accuracy=guess,
        columns=columns,
        findings=tuple(_findings(table, columns, guess, config)),
    )


def _class_counts(dataset: Dataset) -> dict[str, int]:
    """Return the samples of each class in all splits, each sample once."""
    parts = {id(part): part for part in (dataset.train, dataset.validation, dataset.test) if part is not None}
    y = np.concatenate([part.y for part in parts.values()])
    return dict(zip(dataset.info.class_names, np.bincount(y, minlength=dataset.info.n_classes).tolist(), strict=True))


def _inspected_arrays(config: DatasetConfig) -> Inspection:
    own = read_own_arrays(config)
    table, y = as_table(own), own.dataset.train.y
    info, columns = own.dataset.info, tuple(_column(table, name, y) for name in table.kinds)
    guess = float(np.bincount(y).max() / len(y))
    findings = [*_column_findings(table, columns, guess, "remove it from x"), *_class_findings(own.dataset, guess)]
    return Inspection(
        path=escaped(str(config.path)),
        target=None,
        n_rows=info.n_train + info.n_validation + info.n_test,
        n_train_rows=len(y),
        n_features=math.prod(info.input_shape),
        class_counts=_class_counts(own.dataset),
        largest_class_accuracy=guess,
        columns=columns,
        findings=(*findings, *array_findings(own)),
        arrays=inspected_arrays(own),
    )


def _inspected_images(config: DatasetConfig, data_dir: Path | None) -> Inspection:
    own = read_own_images(config.model_copy(update={"on_bad": "skip"}), data_dir)
    info, y = own.dataset.info, own.dataset.train.y
    counts = sum(np.bincount(part.y, minlength=info.n_classes) for part in own.samples.values())
    guess = float(np.bincount(y).max() / len(y))
    return Inspection(
        path=escaped(str(config.path)),
        target=None,
        n_rows=sum(map(len, own.samples.values())),
        n_train_rows=len(y),
        n_features=math.prod(info.input_shape),
        class_counts=dict(zip(info.class_names, np.asarray(counts).tolist(), strict=True)),
        largest_class_accuracy=guess,
        columns=(),
        findings=(*image_findings(own), *_class_findings(own.dataset, guess)),
        images=inspected_images(own),
        image_shape=info.input_shape,
    )


def _column(table: OwnTable, name: str, y: NDArray[np.int64]) -> InspectedColumn:
    kind = table.kinds.get(name)
    encoding, values = table.dataset.info.encoding, table.training[name]
    if kind is not None and encoding is not None:
        values = comparable(values, name, encoding)
    return InspectedColumn(
        name=name,
        kind=kind or "ignored",
        n_missing=int(values.isna().sum()),
        n_distinct=values.nunique(),
        values=_values(values, kind),
        accuracy_alone=None if kind is None else accuracy_alone(value_groups(values, kind), y),
    )


def _values(values: pd.Series[Any], kind: str | None) -> str:
    present = values.dropna()
    if kind == "numeric" and len(present):
        numbers = pd.to_numeric(present)
        return f"{numbers.min():g} to {numbers.max():g}"
    if kind == "date" and len(present):
        first, last = pd.to_datetime([present.min(), present.max()], unit="s").strftime("%Y-%m-%d")
        return f"{first} to {last}"
    texts = [str(text_of(value)) for value in present.value_counts().index[:_N_SHOWN]]
    return listed([escaped(text, _MAX_TEXT) for text in texts], _N_SHOWN - 3)


def _findings(table: OwnTable, columns: Sequence[InspectedColumn], guess: float, config: DatasetConfig) -> list[str]:
    encoding = table.dataset.info.encoding
    assert encoding is not None
    ids = [column.name for column in columns if _looks_like_id(table.training[column.name], column)]
    no_ids = replace(encoding, columns=tuple(column for column in encoding.columns if column.name not in ids))
    return [
        *_column_findings(table, columns, guess, "set it to ignore"),
        *alike_columns(table.training, encoding),
        *_class_findings(table.dataset, guess),
        *group_findings(table.rows, table.training, table.kinds, config),
        *order_findings(table.rows, no_ids, config),
        *repeated_rows(table.dataset),
    ]


def _column_findings(table: OwnTable, columns: Sequence[InspectedColumn], guess: float, remedy: str) -> list[str]:
    findings = [f"column {name!r} is ignored: it {reason}" for name, reason in table.ignored.items()]
    for column in columns:
        if column.kind == "ignored":
            continue
        if column.n_distinct <= 1 and column.n_missing == 0:
            findings.append(f"column {column.name!r} is constant: it tells nothing; {remedy}")
        elif _looks_like_id(table.training[column.name], column):
            findings.append(f"column {column.name!r} looks like an id: whole numbers, all different; {remedy}")
        if column.accuracy_alone is not None and is_suspicious(column.accuracy_alone, guess):
            findings.append(
                f"column {column.name!r} alone predicts the target with accuracy {column.accuracy_alone:.4f}: check "
                f"that it is known before the target is, else {remedy}"
            )
    return findings


def _looks_like_id(values: pd.Series[Any], column: InspectedColumn) -> bool:
    if column.kind != "numeric" or column.n_distinct < len(values) or column.n_missing:
        return False
    numbers = pd.to_numeric(values)
    return bool((numbers % 1 == 0).all())


def _class_findings(dataset: Dataset, guess: float) -> list[str]:
    names, counts = dataset.info.class_names, np.bincount(dataset.train.y, minlength=dataset.info.n_classes)
    rare = [f"{name!r} ({n})" for name, n in zip(names, counts.tolist(), strict=True) if n < _RARE_CLASS]
    findings = []
    if rare:
        findings.append(
            f"classes with fewer than {_RARE_CLASS} training rows, whose scores will vary by chance: "
            f"{listed(rare, _N_SHOWN)}; collect more, or join them with another class"
        )
    if guess >= _IMBALANCE:
        findings.append(
            f"always predicting {names[counts.argmax()]!r} has accuracy {guess:.4f}: read accuracies against that, and "
            "the scores per class of mlcli evaluate"
        )
    return findings


def print_inspection(inspection: Inspection, output_format: OutputFormat) -> None:
    """Print an inspection to stdout. CSV has one row per column; for images one per array or part."""
    rows = [asdict(column) for column in inspection.columns]
    title = inspection.path if inspection.target is None else f"{inspection.path}, target {inspection.target}"
    images = [asdict(part) for part in inspection.images]
    arrays = [{**asdict(array), "shape": str(array.shape)} for array in inspection.arrays]
    match output_format:
        case OutputFormat.JSON:
            print_json({"schema_version": _SCHEMA_VERSION} | asdict(inspection))
        case OutputFormat.CSV:
            print_csv(rows or arrays or images)
        case OutputFormat.MARKDOWN:
            fields = [field for section in _sections(inspection) for field in section]
            fields += [("to check", finding) for finding in inspection.findings]
            print_markdown([{title: label, "": value} for label, value in fields])
            for listed_rows in filter(None, (arrays, images, rows)):
                print_markdown(listed_rows)
        case OutputFormat.TABLE:
            print_fields(title, _sections(inspection))
            if arrays:
                print_table("Arrays", arrays)
            if images:
                print_table("Images", images)
            if rows:
                print_table(
                    "Columns by the training rows", [row | _score(row) for row in rows], ["n_distinct", "n_missing"]
                )
            _print_findings(inspection.findings)


def _score(row: Mapping[str, object]) -> dict[str, object]:
    value = row["accuracy_alone"]
    return {"accuracy_alone": f"{value:.4f}" if isinstance(value, float) else value}


def _print_findings(findings: Sequence[str]) -> None:
    console = result_console()
    console.print("[bold]To check[/bold]" if findings else "Nothing to check.")
    for finding in findings:
        console.print(f"- {escape(finding)}")


def _sections(inspection: Inspection) -> list[Fields]:
    whole = [
        ("rows", f"{inspection.n_rows:,}, of which {inspection.n_train_rows:,} for training"),
        ("features", f"{inspection.n_features:,}"),
    ]
    counts = inspection.class_counts
    names = set(sorted(counts, key=lambda name: -counts[name])[:_N_CLASSES_SHOWN])
    classes = [(f"class {name}", f"{n:,}") for name, n in counts.items() if name in names]
    if len(counts) > len(names):
        rest = sum(n for name, n in counts.items() if name not in names)
        classes.append((f"{len(counts) - len(names):,} smaller classes", f"{rest:,}"))
    guess = [("always predicting the largest class", f"{inspection.largest_class_accuracy:.4f}")]
    return [whole, [*classes, *guess]]
