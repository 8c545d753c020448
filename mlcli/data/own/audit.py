"""What makes the test scores of a table better than scores on new data will be: its leaks, column by column and by row.

Columns are judged by the training rows, which are in random order, so that the first of them are a fair sample.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.encoding import column_numbers
from mlcli.records import ColumnKind, Dataset, TableEncoding

if TYPE_CHECKING:
    import pandas as pd

_N_BINS = 20  # of a numeric column, when it predicts the target alone
_EXPLAINED = 0.95  # of the errors of always guessing the largest class: a column that alone avoids more is suspicious
_ALIKE = 0.999  # absolute correlation
_MAX_CORRELATED_ROWS = 2000
_MAX_CELLS = 500_000  # looked at when a training starts
_MAX_COMPARED_ROWS, _MAX_COMPARED_CELLS = 100_000, 10_000_000  # of each split
_THINGS = "id|uuid|patient|subject|person|user|customer|client|household|session|speaker|author|device|group"
_GROUP_NAME = re.compile(rf"(?i:(^|[\W_])({_THINGS})s?([\W_]|$))|[a-z]I[dD]$")
_MIN_GROUPS, _MIN_GROUP_FRACTION, _MAX_GROUP_FRACTION = 20, 0.05, 0.5  # of the training rows: different texts
_SHARED = 0.5  # of the other rows: those whose group is in the training split too
_MIN_TIMES = 10


def training_notes(rows: ColumnStore, training: ColumnStore, dataset: Dataset, config: DatasetConfig) -> list[str]:
    """Return notes on the leaks that can be seen in little time: of many columns or rows, only some rows are looked at.

    rows: all rows of the table; training: those of the training split, as in `dataset`.
    """
    encoding, y = dataset.info.encoding, dataset.train.y
    assert encoding is not None
    n_rows = max(1, min(len(y), _MAX_CELLS // len(encoding.columns)))
    guess = float(np.bincount(y).max() / len(y))
    notes = []
    for column in encoding.columns:
        values = comparable(training[column.name].iloc[:n_rows], column.name, encoding)
        accuracy = accuracy_alone(value_groups(values, column.kind), y[:n_rows])
        if is_suspicious(accuracy, guess):
            notes.append(f"column {column.name!r} alone predicts the target with accuracy {accuracy:.4f}")
    kinds = {column.name: column.kind for column in encoding.columns}
    notes += [*group_findings(rows, training, kinds, config), *repeated_rows(dataset)]
    return [f"possible leak: {note}" for note in notes]


def is_suspicious(accuracy: float, guess: float) -> bool:
    """Return whether a column alone predicts the target better than is likely; guess: accuracy of the largest class."""
    return 1 - accuracy <= (1 - _EXPLAINED) * (1 - guess)


def comparable(values: pd.Series[Any], name: str, encoding: TableEncoding) -> pd.Series[Any]:
    """Return values of a column in the order of their size: dates as seconds since 1970-01-01."""
    import pandas as pd

    column = next(column for column in encoding.columns if column.name == name)
    return pd.Series(column_numbers(values, column), name=name) if column.kind == "date" else values


def value_groups(values: pd.Series[Any], kind: str) -> NDArray[np.int64]:
    """Return a number for each row, equal for equal texts or for numbers of about the same size."""
    import pandas as pd

    if kind not in ("numeric", "date"):
        return values.factorize()[0].astype(np.int64) + 1
    numbers = pd.to_numeric(values)
    if numbers.isna().all():
        return np.zeros(len(numbers), dtype=np.int64)
    edges = np.unique(np.nanquantile(numbers, np.linspace(0, 1, _N_BINS + 1)[1:-1]))
    return np.where(numbers.isna(), len(edges) + 1, np.searchsorted(edges, numbers))


def accuracy_alone(groups: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """Return how well a column alone predicts the classes: each group its most frequent class.

    Groups learn from every second row and are scored on the others, and the other way round, so that an id scores
    nothing. groups, y: int64 (n,).
    """
    n_correct = 0
    for part in (0, 1):
        is_learned = np.arange(len(y)) % 2 == part
        counts = np.zeros((groups.max() + 1, y.max() + 1))
        np.add.at(counts, (groups[is_learned], y[is_learned]), 1)
        guesses = np.where(counts.any(axis=1), counts.argmax(axis=1), counts.sum(axis=0).argmax())
        n_correct += int((guesses[groups[~is_learned]] == y[~is_learned]).sum())
    return n_correct / len(y)


def repeated_rows(dataset: Dataset) -> list[str]:
    """Return a finding if samples of the test split are also in the training split."""
    if dataset.test is dataset.train:
        return []
    n_rows = min(_MAX_COMPARED_ROWS, max(1, _MAX_COMPARED_CELLS // dataset.train.x.shape[1]))
    train, test = (np.ascontiguousarray(part.x[:n_rows]) for part in (dataset.train, dataset.test))
    known = {row.tobytes() for row in train}
    n_repeated = sum(row.tobytes() in known for row in test)
    if not n_repeated:
        return []
    return [
        f"{n_repeated:,} of {len(test):,} test rows are equal to a training row in all columns that are used, so test "
        "scores may be too good; remove repeated rows, or keep them together with --group"
    ]


def group_findings(
    rows: ColumnStore, training: ColumnStore, kinds: Mapping[str, ColumnKind], config: DatasetConfig
) -> list[str]:
    """Return a finding for each column that looks like groups of rows, if the split does not respect them.

    Such a column has a name as ids of persons and things have, or is of texts that are neither few nor all different,
    and most rows outside the training split have a value that is also in it.
    """
    if config.split_columns or config.test_path is not None or config.test == "train":
        return []
    is_other = ~np.isin(rows.index, training.index)
    findings = []
    for name in (name for name in rows.columns if name != config.target):
        is_named = _GROUP_NAME.search(name) is not None
        is_text = kinds.get(name, "categorical") == "categorical" and training[name].dtype.kind not in "biufM"
        n_least = 2 if is_named else max(_MIN_GROUPS, _MIN_GROUP_FRACTION * len(training))
        if not is_named and not is_text:
            continue
        if not n_least <= training[name].nunique() <= _MAX_GROUP_FRACTION * len(training):
            continue
        shared = float(rows[name][is_other].isin(training[name].dropna()).mean())
        if shared > _SHARED:
            findings.append(
                f"{shared:.0%} of the rows outside the training split have a value of column {name!r} that is also in "
                f"it: if rows of one value belong together, split with --group {name}"
            )
    return findings


def order_findings(rows: ColumnStore, encoding: TableEncoding, config: DatasetConfig) -> list[str]:
    """Return a finding for each column in whose order the rows of the file are, as in measurements over time."""
    import pandas as pd

    if config.split_columns or config.test_path is not None:
        return []
    findings = []
    for column in encoding.columns:
        if column.kind not in ("numeric", "date"):
            continue
        values = pd.to_numeric(comparable(rows[column.name], column.name, encoding))
        if values.nunique() >= _MIN_TIMES and (values.is_monotonic_increasing or values.is_monotonic_decreasing):
            findings.append(
                f"the rows are in the order of column {column.name!r}: if that is a time, and the data to predict will "
                f"be later, split with --time {column.name}"
            )
    return findings


def alike_columns(training: ColumnStore, encoding: TableEncoding) -> list[str]:
    """Return a finding for each column that says the same as an earlier one.

    Numbers do if their correlation is above 0.999 or below -0.999, over at most 2,000 rows and with the mean where one
    is missing; texts and booleans, if they divide all training rows alike.
    """
    numeric = [column.name for column in encoding.columns if column.kind in ("numeric", "date")]
    partitions: dict[bytes, str] = {}
    pairs = _correlated(training, numeric, encoding)
    for column in encoding.columns:
        if column.kind in ("categorical", "boolean"):
            codes = training[column.name].factorize()[0]
            first = partitions.setdefault(codes.tobytes(), column.name)
            if first != column.name and codes.any():
                pairs[column.name] = (first, "the same rows have equal values in both")
    return [
        f"columns {first!r} and {name!r} say the same, {reason}: set one to ignore"
        for name, (first, reason) in pairs.items()
    ]


def _correlated(training: ColumnStore, names: list[str], encoding: TableEncoding) -> dict[str, tuple[str, str]]:
    import pandas as pd

    n_rows = min(len(training), _MAX_CORRELATED_ROWS)
    if n_rows < 3 or not names:
        return {}
    columns = [comparable(training[name].iloc[:n_rows], name, encoding) for name in names]
    values = np.column_stack([pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan) for column in columns])
    is_missing = np.isnan(values)
    n_present = np.maximum(1, (~is_missing).sum(axis=0))
    values = np.where(is_missing, 0.0, values - np.where(is_missing, 0.0, values).sum(axis=0) / n_present)
    lengths = np.sqrt((values**2).sum(axis=0))
    values /= np.where(lengths > 0, lengths, 1.0)
    correlations = values.T @ values
    pairs = {}
    for index, name in enumerate(names):
        alike = np.flatnonzero(np.abs(correlations[index, :index]) > _ALIKE)
        if len(alike):
            pairs[name] = (names[alike[0]], f"correlation {correlations[index, alike[0]]:.4f}")
    return pairs
