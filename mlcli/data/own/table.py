"""The dataset of a person's own table: its file, target and columns are in the configuration, nothing is registered.

What is fitted, medians, categories and kinds of columns, is fitted on the training rows alone, so the split comes
first. The labels are compared as text.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.audit import training_notes
from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.damaged_rows import N_LISTED
from mlcli.data.own.encoding import column_kind, fit_encoding, unseen_notes
from mlcli.data.own.files import OTHER_FILES, joined_digest
from mlcli.data.own.labels import Labels, known_labels, label_text, new_labels
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.skipped_rows import without_damaged
from mlcli.data.own.split_columns import check_roles, read_as_text, split_source
from mlcli.data.own.stored_arrays import EncodedRows
from mlcli.data.own.table_file import NO_HEADER, TableFile, located
from mlcli.data.preprocessing import is_scored_whole, preprocess
from mlcli.data.source import SourceData
from mlcli.data.splits import plan_splits, unsplit
from mlcli.errors import DataError, UsageError, nearest_match
from mlcli.records import ColumnKind, Dataset, DatasetInfo, Preprocessing, Split, TableEncoding
from mlcli.text import escaped, listed

if TYPE_CHECKING:
    import pandas as pd

_N_SHOWN = 6
_MAX_NAME_BYTES, _MAX_NAME_MARKS = 2**19, 10_000  # in all names of features; see mlcli/untrusted.py
_MAX_NOTE = 900  # characters; the record of a run has a limit
_TEXT_KINDS = ("categorical", "date")
_CHOSEN = "is set to be ignored"
_SPLITTING = "decides the splits; dataset.columns can make it a feature"
_CODES = (
    "texts are numbers of their categories, and missing values stay missing, because the estimator takes both; "
    "dataset.encoding one-hot changes that"
)
_SMALLEST_DEVIATION = 1e-18  # as in the format of runs


def table_dataset(config: DatasetConfig, preparation: Preparation) -> Dataset:
    """Return the dataset of a table, with an encoding fitted on the training rows, and with notes on possible leaks.

    UsageError for a target or column that the file lacks, DataError for a file that is missing or is not a table to
    learn classes from.
    """
    return _prepared(config, preparation, lambda folder: _fitted(_understood(config, preparation), folder))


@dataclass(frozen=True, eq=False)
class OwnTable:
    """A table as it was read, how it was understood, and the dataset that it became."""

    rows: ColumnStore
    training: ColumnStore  # the rows of the training split
    kinds: dict[str, ColumnKind]  # of the columns that are used
    ignored: dict[str, str]  # why each of the others is not used
    dataset: Dataset


def read_own_table(config: DatasetConfig, preparation: Preparation) -> OwnTable:
    """Return the table under `path`; raises what `table_dataset` raises."""
    table = _understood(config, preparation)
    dataset = _prepared(config, preparation, lambda folder: _fitted(table, folder))
    return OwnTable(table.source.rows, table.training, table.kinds, table.ignored, dataset)


@dataclass(frozen=True, eq=False)
class _Source:
    """What the rows of a table are encoded from."""

    config: DatasetConfig
    file: TableFile
    preparation: Preparation
    rows: ColumnStore
    labels: Labels


@dataclass(frozen=True, eq=False)
class _Understood:
    """A table with everything that is decided before its rows are encoded."""

    source: _Source
    training: ColumnStore
    kinds: dict[str, ColumnKind]
    ignored: dict[str, str]
    info: DatasetInfo
    skipped: list[str]  # a note on damaged rows


def _understood(config: DatasetConfig, preparation: Preparation) -> _Understood:
    file = _file_of(config)
    with located(file):
        rows = preparation.columns(file, _checked_columns(file, config))
        skipped: list[str] = []
        if config.on_bad == "skip":
            others = (config.target, *config.split_columns.values())
            rows, skipped = without_damaged(
                rows,
                config.target or "",
                {name: config.columns.get(name) for name in rows.columns if name not in others},
            )
        labels = new_labels(*_labels(rows[config.target or ""]), has_test_file=config.test_path is not None)
        info = DatasetInfo(
            name=config.label,
            kind="table",
            input_shape=(1,),  # until the encoding is known
            class_names=labels.class_names,
            feature_names=(),
            n_train=len(rows),
            n_test=0,
            title="",  # depends on the working directory
        )
        source = replace(split_source(rows, labels.y, config), n_test=int(config.test_path is not None))
        training = rows.take(plan_splits(config, info, source).train.indices)
        used, ignored = _kinds(training, config)
    return _Understood(_Source(config, file, preparation, rows, labels), training, used, ignored, info, skipped)


def _fitted(table: _Understood, folder: Path | None) -> Dataset:
    """Return the dataset; folder: where its arrays are written, None: in memory."""
    config, labels = table.source.config, table.source.labels
    with located(table.source.file):
        encoding = fit_encoding(
            table.training,
            table.kinds,
            config.target or "",
            config.missing,
            config.encoding or "one-hot",
            has_header=table.source.file.has_header,
        )
    dataset = _encoded(table.source, replace(table.info, encoding=encoding), folder)
    with located(table.source.file):
        check_storable(dataset)
    codes = [_CODES] if config.encoding == "codes" else []
    leaks = training_notes(table.source.rows, table.training, dataset, config)
    notes = (
        *_header_notes(table.source.file, config),
        *_column_notes(table.kinds, table.ignored),
        *codes,
        *labels.notes,
        *table.skipped,
        *leaks,
    )
    return replace(dataset, notes=(*dataset.notes, *(escaped(note, _MAX_NOTE) for note in notes)))


def _prepared(
    config: DatasetConfig, preparation: Preparation, make: Callable[[Path | None], Dataset], **more: Any
) -> Dataset:
    """Return the dataset that was made of the same content with the same settings, or make it."""
    file = _file_of(config)
    others = {key: TableFile(Path(path), ()) for key in OTHER_FILES if (path := getattr(config, key))}
    settings = config.model_dump(mode="json", exclude={"path", *OTHER_FILES}) | more
    dataset = preparation.dataset({"path": file, **others}, settings, make)
    title = file.location if more else f"{file.location}, target {config.target}"
    return replace(dataset, info=replace(dataset.info, name=config.label, title=title))


def stored_table(
    config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None, preparation: Preparation
) -> Dataset:
    """Return the dataset of the file under `path`, with the encoding, the classes and the scaling of a run.

    trained_on: see `stored_dataset`. DataError for a file without the columns of the run, and for labels that are none
    of its classes.
    """
    encoding = preprocessing.encoding
    assert encoding is not None
    file = _file_of(config.model_copy(update={"missing": encoding.missing}), encoding)

    def make(folder: Path | None) -> Dataset:
        with located(file):
            present = file.column_names() if trained_on else ()
            splitting = [name for name in config.split_columns.values() if not trained_on or name in present]
            rows = preparation.columns(file, present_columns(file, encoding, encoding.target, *splitting))
            rows, skipped = _usable(rows, encoding, config)
            labels = known_labels(*_labels(rows[encoding.target]), preprocessing.class_names, "run")
        info = DatasetInfo(
            name=config.label,
            kind="table",
            input_shape=preprocessing.input_shape,
            class_names=preprocessing.class_names,
            feature_names=preprocessing.feature_names,
            n_train=len(rows),
            n_test=0,
            title="",
            encoding=encoding,
        )
        dataset = _encoded(_Source(config, file, preparation, rows, labels), info, folder, trained_on)
        return replace(dataset, notes=(*dataset.notes, *skipped))

    run = {"encoded_as": asdict(encoding), "class_names": preprocessing.class_names, "trained_on": trained_on}
    return _prepared(config, preparation, make, **run)


def encoded_file(path: Path, encoding: TableEncoding, *, is_trusted: bool = False) -> TableFile:
    """Return a file whose columns are read as an encoding needs them; UsageError for a kind of file without columns."""
    texts = [column.name for column in encoding.columns if column.kind in _TEXT_KINDS]
    file = TableFile(path, encoding.missing, (encoding.target, *texts), encoding.has_header, is_trusted=is_trusted)
    file.check()
    return file


def present_columns(file: TableFile, encoding: TableEncoding, *others: str) -> list[str]:
    """Return the columns that an encoding needs, and others; DataError, naming those that the file lacks."""
    names = [*(column.name for column in encoding.columns), *others]
    found = set(file.column_names())
    missing = [repr(name) for name in names if name not in found]
    if missing:
        raise DataError(f"{file.location}: missing columns: {listed(missing, _N_SHOWN)}{_unlike(file)}")
    return names


def _unlike(file: TableFile) -> str:
    """Return how a file seems to differ from the training file, whose columns it lacks, if its first line tells."""
    if not file.has_header:
        return f"; it has {len(file.column_names())}, numbered because the training file has no header"
    number = file.first_number()
    return (
        f"\nits first line holds the number {number}: it must name the columns, as in the training file"
        if number
        else ""
    )


def _file_of(config: DatasetConfig, encoding: TableEncoding | None = None) -> TableFile:
    path = Path(config.path or "")
    if encoding is not None:
        file = encoded_file(path, encoding, is_trusted=True)
    else:
        as_text = [name for name, kind in config.columns.items() if kind in _TEXT_KINDS]
        file = TableFile(path, config.missing, (config.target or "", *as_text), is_trusted=True)
        file.check()
        file = replace(file, has_header=_has_header(file, config))
    return replace(file, texts=(*file.texts, *read_as_text(config)), skips_bad=config.on_bad == "skip")


def _has_header(file: TableFile, config: DatasetConfig) -> bool:
    """Return whether the first line names the columns: as set, or unless it holds a number and not the target."""
    if config.header is not None:
        return config.header
    return file.first_number() is None or config.target in [cell.strip() for cell in file.first_line()[0]]


def _header_notes(file: TableFile, config: DatasetConfig) -> list[str]:
    """Return a note if it was decided that the first line does not name the columns, and how to change that."""
    if file.has_header or config.header is not None:
        return []
    return [
        f"no header: the first line holds the number {file.first_number()}, so the columns are column 1 to column "
        f"{len(file.column_names())}; dataset.header=true takes their names from that line"
    ]


def _checked_columns(file: TableFile, config: DatasetConfig) -> tuple[str, ...]:
    """Return the names of all columns; UsageError for a target, or a key of `columns`, that is none of them."""
    names = file.column_names()
    in_columns = [("columns", name) for name in config.columns]
    for key, wanted in [("target", config.target), *config.split_columns.items(), *in_columns]:
        if wanted not in names:
            guess = nearest_match(wanted or "", names)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise UsageError(
                f"dataset.{key}: {file.location} has no column {escaped(wanted or '')!r}{hint}\n"
                f"its columns: {listed(names, 2 * _N_SHOWN)}{'' if guess else _header_hint(file)}"
            )
    if config.target in config.columns:
        raise UsageError(f"dataset.columns: {config.target!r} is the target; its labels are always text")
    check_roles(config)
    return names


def _header_hint(file: TableFile) -> str:
    """Return what to do if the columns of a text file have other names because of its first line."""
    if file.has_header:
        return "" if file.is_parquet else f"\n{NO_HEADER}"
    found = f" as it holds the number {number}" if (number := file.first_number()) else ""
    return f"\nthe first line is taken as data{found}; if it names the columns, set dataset.header to true"


def _labels(values: pd.Series[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Return the different labels as texts, and the position of the label of each row; DataError for a missing one."""
    codes, found = values.factorize()
    is_missing = codes == -1
    if is_missing.any():
        raise DataError(
            f"row {int(is_missing.argmax()) + 1:,} (from 1): the label is missing, as in {int(is_missing.sum()):,} of "
            f"{len(values):,} rows\nremove these rows ({_listed_rows(is_missing)}) or leave them out with --on-bad "
            "skip, or change dataset.missing if the text is a label"
        )
    return codes, [label_text(value) for value in found]


def _listed_rows(is_bad: NDArray[np.bool_]) -> str:
    return listed([f"{row + 1:,}" for row in np.flatnonzero(is_bad).tolist()], N_LISTED)


def _kinds(training: ColumnStore, config: DatasetConfig) -> tuple[dict[str, ColumnKind], dict[str, str]]:
    """Return the kind of each column that is used, and why each of the others is ignored."""
    kinds: dict[str, ColumnKind] = {}
    ignored: dict[str, str] = {}
    splitting = set(config.split_columns.values())
    for name in training.columns:
        if name == config.target:
            continue
        found = config.columns.get(name) or (_SPLITTING if name in splitting else column_kind(training[name]))
        if found in get_args(ColumnKind):
            kinds[name] = cast("ColumnKind", found)
        else:
            ignored[name] = _CHOSEN if found == "ignore" else found
    if not kinds:
        reasons = [f"{name!r} {reason}" for name, reason in ignored.items()]
        raise DataError(f"no column is left to learn from: {listed(reasons, _N_SHOWN) or 'there is only the target'}")
    return kinds, ignored


def _column_notes(kinds: dict[str, ColumnKind], ignored: dict[str, str]) -> list[str]:
    used = [
        f"{len(names):,} {kind} ({listed(names, _N_SHOWN)})"
        for kind in get_args(ColumnKind)
        if (names := [name for name, found in kinds.items() if found == kind])
    ]
    notes = [f"columns: {', '.join(used)}; dataset.columns changes kinds"]
    automatic = [f"{name!r} {reason}" for name, reason in ignored.items() if reason != _CHOSEN]
    return [*notes, f"ignored columns: {listed(automatic, _N_SHOWN)}"] if automatic else notes


def _encoded(source: _Source, info: DatasetInfo, folder: Path | None, trained_on: str | None = None) -> Dataset:
    """Return the dataset of the training file and, if they are given, of the files for test and validation."""
    config, labels, encoding = source.config, source.labels, info.encoding
    assert encoding is not None
    names = encoding.feature_names
    info = replace(info, input_shape=(len(names),), feature_names=names)
    others = {
        key: _other_file(Path(path), source, info, folder) for key in OTHER_FILES if (path := getattr(config, key))
    }
    digests = {key: other.digest for key, other in others.items()}
    digest = joined_digest(source.preparation.digest(source.file), digests)
    test, validation = (others[key].samples if key in others else None for key in OTHER_FILES)
    info = replace(info, n_test=len(test or ()), n_validation=len(validation or ()))
    x = EncodedRows(source.file, source.rows, encoding, folder)
    data = SourceData(x.split(labels.y), test, digest, validation)
    if is_scored_whole(data, trained_on):
        plan = unsplit(len(labels.y))
    else:
        by_columns = split_source(source.rows, labels.y, config)
        plan = plan_splits(config, info, replace(by_columns, n_test=info.n_test, n_validation=info.n_validation))
    dataset = preprocess(data, info, config, plan)
    notes = [note for other in others.values() for note in other.notes()]
    return replace(dataset, notes=(*dataset.notes, *notes))


def _usable(rows: ColumnStore, encoding: TableEncoding, config: DatasetConfig) -> tuple[ColumnStore, list[str]]:
    """Return the rows that an encoding can encode, and a note on the others if they are to be skipped."""
    if config.on_bad == "stop":
        return rows, []
    return without_damaged(rows, encoding.target, {column.name: column.kind for column in encoding.columns})


@dataclass(frozen=True)
class _OtherFile:
    samples: Split
    digest: str
    notes: Callable[[], list[str]]  # when the samples were encoded


def _other_file(path: Path, training: _Source, info: DatasetInfo, folder: Path | None) -> _OtherFile:
    """Return the rows of a file for test or validation, with the encoding and the classes of the training rows."""
    encoding = info.encoding
    assert encoding is not None
    file = replace(encoded_file(path, encoding, is_trusted=True), skips_bad=training.config.on_bad == "skip")
    with located(file):
        rows = training.preparation.columns(file, present_columns(file, encoding, encoding.target))
        rows, skipped = _usable(rows, encoding, training.config)
        labels = known_labels(*_labels(rows[encoding.target]), info.class_names, "training data")
    x = EncodedRows(file, rows, encoding, folder)
    unused = [repr(name) for name in file.column_names() if name not in training.file.column_names()]
    ignored = [f"columns that the training file lacks are ignored: {listed(unused, _N_SHOWN)}"] if unused else []

    def notes() -> list[str]:
        return [
            escaped(f"{file.location}: {note}", _MAX_NOTE) for note in (*ignored, *unseen_notes(x.unseen), *skipped)
        ]

    return _OtherFile(x.split(labels.y), training.preparation.digest(file), notes)


def check_storable(dataset: Dataset) -> None:
    """DataError for an encoding that could not be read back from a run.

    Its texts are longer than a file of its kind may hold, or the values of a column differ by less than engines, which
    compute in float32, can tell apart.
    """
    texts = "".join(dataset.info.feature_names)
    if len(texts.encode()) > _MAX_NAME_BYTES or sum(map(texts.count, ",[{")) > _MAX_NAME_MARKS:
        raise DataError("the names of its columns and categories are too long; ignore columns with dataset.columns")
    scales = np.abs(np.atleast_1d(1.0 if dataset.scaling.scale is None else dataset.scaling.scale))
    if (scales < _SMALLEST_DEVIATION).any():
        names = dataset.info.feature_names
        name = f"column {names[int(scales.argmin())]!r}: its" if names else "its"
        raise DataError(f"{name} values differ by less than {_SMALLEST_DEVIATION:g}; use another unit")
