"""The columns of a table that decide its splits: groups, times, or the part of each row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.column_store import ColumnStore
from mlcli.data.own.dates import date_seconds, known_order
from mlcli.data.own.encoding import numbers_of, text_of
from mlcli.data.splits import TEST, TRAIN, VALIDATION, SplitSource
from mlcli.errors import DataError, UsageError
from mlcli.text import listed

if TYPE_CHECKING:
    import pandas as pd

_N_SHOWN = 6
_MONTH = r"\A(\d{4}-\d\d)\Z"
_PART_NAMES = {"train": TRAIN, "training": TRAIN, "validation": VALIDATION, "valid": VALIDATION, "val": VALIDATION}
_PART_NAMES |= {"test": TEST, "testing": TEST}


def split_source(table: ColumnStore, y: NDArray[np.int64], config: DatasetConfig) -> SplitSource:
    """Return what the splits of a table are made of; y: int64 (n,), the class of each row.

    DataError, with the row, for a value that is missing or cannot be understood.
    """
    columns = {key: _complete(table[name], key) for key, name in config.split_columns.items()}
    return SplitSource(
        y,
        groups=columns["group"].factorize()[0].astype(np.int64) if "group" in columns else None,
        times=_times(columns["time"]) if "time" in columns else None,
        parts=_parts(columns["split_column"]) if "split_column" in columns else None,
    )


def check_roles(config: DatasetConfig) -> None:
    """UsageError for a column that decides the splits and is also something that it cannot be."""
    for key, name in config.split_columns.items():
        if name == config.target:
            raise UsageError(f"dataset.{key}: {name!r} is the target; choose another column")
    if config.split_column is not None and config.columns.get(config.split_column, "ignore") != "ignore":
        raise UsageError(f"dataset.columns: {config.split_column!r} decides the splits and cannot be a feature")


def read_as_text(config: DatasetConfig) -> list[str]:
    """Return the names of the columns that decide the splits by their text, so that 007 is not 7."""
    names = [name for name in (config.group, config.split_column) if name is not None]
    return [name for name in names if config.columns.get(name, "ignore") == "ignore"]


def _complete(values: pd.Series[Any], key: str) -> pd.Series[Any]:
    is_missing = values.isna().to_numpy()
    if is_missing.any():
        raise DataError(
            f"row {int(is_missing.argmax()) + 1:,} (from 1): no value in column {values.name!r} (dataset.{key}), as in "
            f"{int(is_missing.sum()):,} of {len(values):,} rows\nfill it in, or remove these rows"
        )
    return values


def _times(values: pd.Series[Any]) -> NDArray[np.int64]:
    """Return the order of times, from 0, equal for equal times: numbers, or dates as in `dates.py`, or months."""
    times = _numbers_or_dates(values)
    is_wrong = times.isna().to_numpy() | np.isinf(times.to_numpy() if times.dtype.kind == "f" else 0.0)
    if is_wrong.any():
        row = int(is_wrong.argmax())
        raise DataError(
            f"row {row + 1:,} (from 1), column {values.name!r} (dataset.time): {text_of(values.iloc[row])!r}\n"
            "expected a number in every row, or in every row a date like 2024-01-31 or 2024-01-31T23:59:00"
        )
    return np.unique(times.to_numpy(), return_inverse=True)[1].astype(np.int64)


def _numbers_or_dates(values: pd.Series[Any]) -> pd.Series[Any]:
    """Return the values as numbers, or as seconds of dates if none is a number; not finite where one is neither."""
    import pandas as pd

    if values.dtype.kind in "iuM":
        return values
    numbers = numbers_of(values)
    if not np.isnan(numbers).all():
        return pd.Series(numbers)
    dates = values.astype(str).str.replace(_MONTH, r"\1-01", regex=True)
    return pd.Series(date_seconds(dates, known_order(dates)))


def _parts(values: pd.Series[Any]) -> NDArray[np.int64]:
    """Return TRAIN, VALIDATION or TEST for each row; case and blanks do not matter. DataError for any other value."""
    codes, found = values.factorize()
    parts = [_PART_NAMES.get(str(value).strip().casefold(), -1) for value in found]
    unknown = [
        f"{text_of(value)!r} ({(codes == code).sum():,} rows)" for code, value in enumerate(found) if parts[code] < 0
    ]
    if unknown:
        raise DataError(
            f"column {values.name!r} (dataset.split_column) says {listed(unknown, _N_SHOWN)}\n"
            "expected train, validation (val, valid) or test in every row"
        )
    lacking = [name for name in ("train", "test") if _PART_NAMES[name] not in parts]
    if lacking:
        raise DataError(f"column {values.name!r} (dataset.split_column) says {' and '.join(lacking)} in no row")
    found_parts: NDArray[np.int64] = np.array(parts, dtype=np.int64)[codes]
    return found_parts
