"""The dataset of a person's own table: its file, target and columns are in the configuration, nothing is registered.

What is fitted, medians, categories and kinds of columns, is fitted on the training rows alone, so the split comes
first. The labels are compared as text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.encoding import column_kind, fit_encoding, text_of
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.stored_arrays import EncodedRows
from mlcli.data.own.table_file import TableFile
from mlcli.data.preprocessing import preprocess
from mlcli.data.source import SourceData
from mlcli.data.splits import SplitSource, plan_splits
from mlcli.errors import DataError, UsageError, nearest_match
from mlcli.records import ColumnKind, Dataset, DatasetInfo, Preprocessing, Split, TableEncoding
from mlcli.text import escaped, listed

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 1000
_N_SHOWN = 6
_MAX_NAME_BYTES, _MAX_NAME_MARKS = 2**19, 10_000  # in all names of features; see mlcli/untrusted.py
_MAX_NOTE = 900  # characters; the record of a run has a limit
_CHOSEN = "is set to be ignored"
_SMALLEST_DEVIATION = 1e-18  # as in the format of runs


@dataclass(frozen=True)
class _Labels:
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    notes: tuple[str, ...]


def table_dataset(config: DatasetConfig, preparation: Preparation) -> Dataset:
    """Return the dataset of a table, with an encoding fitted on the training rows.

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
    return OwnTable(table.rows, table.training, table.kinds, table.ignored, dataset)


@dataclass(frozen=True, eq=False)
class _Understood:
    """A table with everything that is decided before its rows are encoded."""

    config: DatasetConfig
    file: TableFile
    rows: ColumnStore
    training: ColumnStore
    labels: _Labels
    kinds: dict[str, ColumnKind]
    ignored: dict[str, str]
    info: DatasetInfo
    digest: str


def _understood(config: DatasetConfig, preparation: Preparation) -> _Understood:
    file = _file_of(config)
    with located(file):
        names = _checked_columns(file, config)
        digest = preparation.digest(file)
        rows = preparation.columns(file, names, digest)
        labels = _labels(rows[config.target or ""])
        info = DatasetInfo(
            name=config.label,
            kind="table",
            input_shape=(1,),  # until the encoding is known
            class_names=labels.class_names,
            feature_names=(),
            n_train=len(rows),
            n_test=0,
            title=_title(file, config),
        )
        training = rows.take(plan_splits(config, info, SplitSource(labels.y)).train.indices)
        kinds, ignored = _kinds(training, config)
    return _Understood(config, file, rows, training, labels, kinds, ignored, info, digest)


def _title(file: TableFile, config: DatasetConfig) -> str:
    return f"{file.location}, target {config.target}"


def _fitted(table: _Understood, folder: Path | None) -> Dataset:
    """Return the dataset; folder: where its arrays are written, None: in memory."""
    config = table.config
    with located(table.file):
        encoding = fit_encoding(table.training, table.kinds, config.target or "", config.missing)
        info = replace(table.info, encoding=encoding)
        dataset = _encoded(table.rows, table.labels, info, config, table.digest, folder)
        _check_storable(dataset)
    notes = (*_column_notes(table.kinds, table.ignored), *table.labels.notes)
    return replace(dataset, notes=(*dataset.notes, *(escaped(note, _MAX_NOTE) for note in notes)))


def _prepared(config: DatasetConfig, preparation: Preparation, make: Callable[[Path | None], Dataset]) -> Dataset:
    """Return the dataset that was made of the same content with the same settings, or make it."""
    file = _file_of(config)
    settings = config.model_dump(mode="json", exclude={"path"})
    dataset = preparation.dataset(file, settings, make)
    return replace(dataset, info=replace(dataset.info, name=config.label, title=_title(file, config)))


def stored_table(config: DatasetConfig, preprocessing: Preprocessing, preparation: Preparation) -> Dataset:
    """Return the dataset of the file under `path`, with the encoding, the classes and the scaling of a run.

    DataError for a file without the columns of the run, and for labels that are none of its classes.
    """
    encoding = preprocessing.encoding
    assert encoding is not None
    file = _file_of(config.model_copy(update={"missing": encoding.missing}), encoding)

    def make(folder: Path | None) -> Dataset:
        digest = preparation.digest(file)
        rows = preparation.columns(file, present_columns(file, encoding, encoding.target), digest)
        labels = _labels(rows[encoding.target], preprocessing.class_names)
        info = DatasetInfo(
            name=config.label,
            kind="table",
            input_shape=preprocessing.input_shape,
            class_names=preprocessing.class_names,
            feature_names=preprocessing.feature_names,
            n_train=len(rows),
            n_test=0,
            title=file.location,
            encoding=encoding,
        )
        return _encoded(rows, labels, info, config, digest, folder)

    settings = config.model_dump(mode="json", exclude={"path"})
    run = {"encoding": asdict(encoding), "class_names": preprocessing.class_names}
    with located(file):
        dataset = preparation.dataset(file, settings | run, make)
    return replace(dataset, info=replace(dataset.info, name=config.label, title=file.location))


def encoded_file(path: Path, encoding: TableEncoding, *, is_trusted: bool = False) -> TableFile:
    """Return a file whose columns are read as an encoding needs them; UsageError for a kind of file without columns."""
    texts = [column.name for column in encoding.columns if column.kind == "categorical"]
    file = TableFile(path, encoding.missing, (encoding.target, *texts), is_trusted=is_trusted)
    file.check()
    return file


def present_columns(file: TableFile, encoding: TableEncoding, *others: str) -> list[str]:
    """Return the columns that an encoding needs, and others; DataError, naming those that the file lacks."""
    names = [*(column.name for column in encoding.columns), *others]
    found = set(file.column_names())
    missing = [repr(name) for name in names if name not in found]
    if missing:
        raise DataError(f"{file.location}: missing columns: {listed(missing, _N_SHOWN)}")
    return names


def _file_of(config: DatasetConfig, encoding: TableEncoding | None = None) -> TableFile:
    path = Path(config.path or "")
    if encoding is not None:
        return encoded_file(path, encoding, is_trusted=True)
    as_text = [name for name, kind in config.columns.items() if kind == "categorical"]
    file = TableFile(path, config.missing, (config.target or "", *as_text), is_trusted=True)
    file.check()
    return file


@contextmanager
def located(file: TableFile) -> Iterator[None]:
    """Begin the message of a DataError with the location of a file, if it does not name it already."""
    try:
        yield
    except DataError as error:
        if file.location in str(error):
            raise
        raise DataError(f"{file.location}: {error}") from error


def _checked_columns(file: TableFile, config: DatasetConfig) -> tuple[str, ...]:
    """Return the names of all columns; UsageError for a target, or a key of `columns`, that is none of them."""
    names = file.column_names()
    for key, wanted in [("target", config.target), *(("columns", name) for name in config.columns)]:
        if wanted not in names:
            guess = nearest_match(wanted or "", names)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise UsageError(
                f"dataset.{key}: {file.location} has no column {escaped(wanted or '')!r}{hint}\n"
                f"its columns: {listed(names, 2 * _N_SHOWN)}"
            )
    if config.target in config.columns:
        raise UsageError(f"dataset.columns: {config.target!r} is the target; its labels are always text")
    return names


def _labels(values: pd.Series[Any], class_names: Sequence[str] | None = None) -> _Labels:
    """Return the class of each row; class_names: those that exist, None: found in the values, sorted.

    DataError for a missing label, and for classes that cannot be learned.
    """
    codes, found = values.factorize()
    is_missing = codes == -1
    if is_missing.any():
        raise DataError(
            f"row {int(is_missing.argmax()) + 1:,} (from 1): the label is missing, as in {int(is_missing.sum()):,} of "
            f"{len(values):,} rows\nremove these rows, or change dataset.missing if the text is a label"
        )
    texts = [text_of(value) or "" for value in found]
    counts: Counter[str] = Counter()
    for text, n_rows in zip(texts, np.bincount(codes).tolist(), strict=True):
        counts[text] += n_rows
    if class_names is None:
        names = _sorted(counts)
        _check_classes(counts, names)
    else:
        names = list(class_names)
        unknown = [repr(text) for text in counts if text not in names]
        if unknown:
            raise DataError(f"labels that are no classes of the run: {listed(unknown, _N_SHOWN)}")
    positions = {name: position for position, name in enumerate(names)}
    y = np.array([positions[text] for text in texts], dtype=np.int64)[codes]
    return _Labels(y, tuple(names), tuple(_similar_labels(names)) if class_names is None else ())


def _sorted(texts: Iterable[str]) -> list[str]:
    """Return labels by their numbers if all are numbers, else in the order of their characters."""
    try:
        return sorted(texts, key=lambda text: (float(text), text))
    except ValueError:
        return sorted(texts)


def _check_classes(counts: Counter[str], names: Sequence[str]) -> None:
    if len(names) == 1:
        raise DataError(f"the target has one class, {names[0]!r}; a classifier needs two or more")
    if len(names) > MAX_CLASSES:
        raise DataError(
            f"the target has {len(names):,} different values, and at most {MAX_CLASSES:,} classes are supported; "
            "a number to predict is regression, which mlcli does not do"
        )
    rare = [repr(name) for name in names if counts[name] == 1]
    if rare:
        raise DataError(
            f"classes with one row, which cannot be in both training and test data: {listed(rare, _N_SHOWN)}\n"
            "remove these rows, or join them with another class"
        )


def _similar_labels(names: Sequence[str]) -> list[str]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(name.casefold().split()), []).append(repr(name))
    similar = [" and ".join(group) for group in groups.values() if len(group) > 1]
    text = f"labels that differ only in case or blanks are different classes: {listed(similar, _N_SHOWN)}"
    return [text] if similar else []


def _kinds(training: ColumnStore, config: DatasetConfig) -> tuple[dict[str, ColumnKind], dict[str, str]]:
    """Return the kind of each column that is used, and why each of the others is ignored."""
    kinds: dict[str, ColumnKind] = {}
    ignored: dict[str, str] = {}
    for name in training.columns:
        if name == config.target:
            continue
        found = config.columns.get(name) or column_kind(training[name])
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
        f"{kind}: {listed([name for name, found in kinds.items() if found == kind], _N_SHOWN)}"
        for kind in get_args(ColumnKind)
        if kind in kinds.values()
    ]
    notes = [f"columns by kind, which dataset.columns changes: {'; '.join(used)}"]
    automatic = [f"{name!r} {reason}" for name, reason in ignored.items() if reason != _CHOSEN]
    return [*notes, f"ignored columns: {listed(automatic, _N_SHOWN)}"] if automatic else notes


def _encoded(
    rows: ColumnStore, labels: _Labels, info: DatasetInfo, config: DatasetConfig, digest: str, folder: Path | None
) -> Dataset:
    assert info.encoding is not None
    x = cast("NDArray[np.float64]", EncodedRows(rows, info.encoding, folder))
    names = info.encoding.feature_names
    info = replace(info, input_shape=(len(names),), feature_names=names)
    return preprocess(SourceData(Split(x, labels.y), None, digest), info, config)


def _check_storable(dataset: Dataset) -> None:
    """DataError for an encoding that could not be read back from a run.

    Its texts are longer than a file of its kind may hold, or the values of a column differ by less than engines, which
    compute in float32, can tell apart.
    """
    texts = "".join(dataset.info.feature_names)
    if len(texts.encode()) > _MAX_NAME_BYTES or sum(map(texts.count, ",[{")) > _MAX_NAME_MARKS:
        raise DataError("the names of its columns and categories are too long; ignore columns with dataset.columns")
    scale = dataset.scaling.scale
    if isinstance(scale, np.ndarray) and (np.abs(scale) < _SMALLEST_DEVIATION).any():
        name = dataset.info.feature_names[int(np.abs(scale).argmin())]
        raise DataError(f"column {name!r}: its values differ by less than {_SMALLEST_DEVIATION:g}; use another unit")
