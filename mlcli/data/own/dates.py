"""Dates in a column: how they are written, and the numbers that they become.

A date is written 2024-01-31, 31.1.2024, 1/31/2024 or 31/1/2024, with or without a time such as 14:30, 14:30:15 or
14:30:15.25 after a blank or T, and an offset from UTC such as Z or +02:00. With points, the day comes first. With
slashes, the training rows decide: a number above 12 is a day; if no date has one, or some in either place, the order is
unknown. A time with an offset is converted to UTC; one without is taken as it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import DataError
from mlcli.records import DateOrder

if TYPE_CHECKING:
    import pandas as pd

EXAMPLES: dict[DateOrder, str] = {"ymd": "2024-01-31", "dmy": "31.1.2024", "mdy": "1/31/2024"}
UNKNOWN_ORDER = "holds dates whose order of day and month is unknown; write them like 2024-01-31"
_DATE = re.compile(
    r"(?:(?P<iso>\d{4}-\d\d?-\d\d?)|(?P<first>\d\d?)(?P<separator>[./])(?P<second>\d\d?)(?P=separator)(?P<year>\d{4}))"
    r"(?:[T ](?P<hour>\d\d?)(?P<minutes>:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(?P<offset>Z|[+-]\d\d(?::?\d\d)?)?)?\Z"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY_SECONDS = 86_400
_THURSDAY = 3  # 1970-01-01, counted from Monday


def date_order(texts: Iterable[str]) -> str | None:
    """Return the DateOrder of the dates of a column; None if a text is no date, or UNKNOWN_ORDER."""
    separators, firsts, seconds = set(), [0], [0]
    for text in texts:
        found = _DATE.match(text)
        if found is None:
            return None
        if not found["iso"]:
            separators.add(found["separator"])
            firsts.append(int(found["first"]))
            seconds.append(int(found["second"]))
    has_day_first, has_day_second = max(firsts) > 12, max(seconds) > 12
    if not separators:
        return "ymd"
    if "." in separators or has_day_first:
        return UNKNOWN_ORDER if has_day_second else "dmy"
    return "mdy" if has_day_second else UNKNOWN_ORDER


def known_order(values: pd.Series[Any]) -> DateOrder:
    """Return how the dates of a column are written; DataError if that is unknown. Other values do not matter."""
    if values.dtype.kind == "M":
        return "ymd"
    texts = values.dropna().astype(str).unique()
    order = date_order(text for text in texts if _DATE.match(text)) or "ymd"
    if order == UNKNOWN_ORDER:
        raise DataError(f"column {values.name!r} {order}")
    return cast("DateOrder", order)


def date_seconds(values: pd.Series[Any], order: DateOrder) -> NDArray[np.float64]:
    """Return dates as seconds since 1970-01-01, float64 (n,): NaN where one is missing, infinite for other values."""
    if values.dtype.kind == "M":
        naive = values.dt.tz_convert(None) if getattr(values.dtype, "tz", None) else values
        microseconds: NDArray[np.int64] = naive.to_numpy(dtype="datetime64[us]").astype(np.int64)
        seconds: NDArray[np.float64] = np.where(values.isna(), np.nan, microseconds / 1e6)
        return seconds
    codes, found = values.factorize(use_na_sentinel=True)
    by_code = [*(_seconds(str(value), order) for value in found), np.nan]  # -1 is a missing value
    return np.array(by_code, dtype=np.float64).take(codes)


def _seconds(text: str, order: DateOrder) -> float:
    found = _DATE.match(text)
    if found is None or not (found["iso"] or order == "dmy" or (order == "mdy" and found["separator"] == "/")):
        return np.inf
    if found["iso"]:
        year, month, day = found["iso"].split("-")
    else:
        year, first, second = found.group("year", "first", "second")
        month, day = (second, first) if order == "dmy" else (first, second)
    time = f"T{found['hour']:0>2}{found['minutes']}{found['offset'] or ''}" if found["hour"] else ""
    try:
        date = datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2}{time}")
    except ValueError:  # there is no such day or time
        return np.inf
    return ((date if date.tzinfo else date.replace(tzinfo=UTC)) - _EPOCH).total_seconds()


def date_parts(seconds: NDArray[np.float64], *, has_time: bool) -> NDArray[np.float64]:
    """Return year, month, day, weekday (0 is Monday), days since 1970-01-01 and, if has_time, hour of each date.

    seconds: float64 (n,), since 1970-01-01. Returns float64 (n, 5 or 6); days and hours have fractions.
    """
    whole_days = np.floor(seconds / DAY_SECONDS)
    days = whole_days.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    parts = [
        months.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        (whole_days + _THURSDAY) % 7,
        seconds / DAY_SECONDS,
    ]
    if has_time:
        parts.append((seconds - whole_days * DAY_SECONDS) / 3600)
    return np.column_stack(parts).astype(np.float64)
