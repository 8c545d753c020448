"""The rows of a table as the samples of a model, with pandas and numpy alone.

An exported model of a table comes with a script that begins with this code, so it imports nothing of mlcli.
`preparation` is the content of the .json file next to the script; it was fitted on the training rows.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
from typing import Any

import numpy as np
import pandas as pd


def read_table(path: str, preparation: dict[str, Any], n_rows: int | None = None) -> pd.DataFrame:
    """Return the rows, or the first n_rows, of a Parquet file, or of UTF-8 text, plain or gzipped."""
    encoding = preparation["encoding"]
    if path.lower().endswith(".parquet"):
        table = pd.read_parquet(path)
        table.columns = _names(table.columns)
        for name in table.select_dtypes(include=["object", "string", "category"]):
            texts = table[name].astype(object).map(str, na_action="ignore")
            table[name] = texts.mask(texts.isin(encoding["missing"]))
        return table.iloc[:n_rows]
    names, delimiter = columns_of(path, encoding["has_header"])
    exact: Any = {} if int(pd.__version__.split(".")[0]) >= 3 else {"float_precision": "round_trip"}
    rows: pd.DataFrame = pd.read_csv(
        path,
        sep=delimiter,
        header=0 if encoding["has_header"] else None,
        names=names,
        index_col=False,
        dtype={column["name"]: str for column in encoding["columns"] if column["kind"] in ("categorical", "date")},
        na_values=encoding["missing"],
        keep_default_na=False,
        encoding="utf-8-sig",
        low_memory=False,
        nrows=n_rows,
        **exact,
    )
    return rows


def columns_of(path: str, has_header: bool) -> tuple[list[str], str]:
    """Return the names of the columns of a text file, and the delimiter: the one that splits its first line most."""
    with gzip.open(path, "rb") if path.lower().endswith(".gz") else open(path, "rb") as file:
        first = next(line for line in file if line.strip(b"\xef\xbb\xbf \r\n")).decode("utf-8-sig")
    cells = {mark: next(csv.reader([first], delimiter=mark)) for mark in ",;\t|"}
    delimiter = max(cells, key=lambda mark: len(cells[mark]))
    return _names(cells[delimiter] if has_header else [""] * len(cells[delimiter])), delimiter


def _names(names: Any) -> list[str]:
    """Return names of columns as they are stored: shortened, without control characters."""
    stripped = [str(name).strip() for name in names]
    short = [name if len(name) <= 100 else name[:97] + "..." for name in stripped]
    return [_printable(name) or f"column {number}" for number, name in enumerate(short, start=1)]


def _text(value: Any) -> str:
    """Return a category as it is stored: a long text shortened, with its digest, and without control characters."""
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    if len(text) > 100:
        text = f"{text[:80]}... {hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    return _printable(text)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def features(table: pd.DataFrame, preparation: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the scaled features of each row, float64 (n, features). ValueError or KeyError for a wrong value."""
    blocks = []
    for column in preparation["encoding"]["columns"]:
        values = table[column["name"]]
        block = _categories(values, column) if column["kind"] == "categorical" else _numbers(values, column)
        blocks.append(block.astype(np.float64))
    x = np.concatenate(blocks, axis=1)
    scaling = preparation["scaling"]
    if scaling["shift"] is not None:
        x = x - np.array(scaling["shift"])
    return x if scaling["scale"] is None else x / np.array(scaling["scale"])


def _categories(values: Any, column: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return zeros and ones, or the position of the category if the model takes that."""
    positions = {text: position for position, text in enumerate(column["categories"])}
    other = len(positions)
    texts = [None if missing else _text(value) for value, missing in zip(values, values.isna(), strict=True)]
    chosen = np.array([positions.get(text, other) for text in texts], dtype=np.int64)[:, None]
    if not column["is_coded"]:
        return np.equal(chosen, np.arange(other + column["has_other"]))
    has_no_code = values.isna().to_numpy()[:, None] | ((chosen == other) & (not column["has_other"]))
    return np.where(has_no_code, np.nan, chosen)


def _numbers(values: Any, column: dict[str, Any]) -> np.ndarray[Any, Any]:
    if column["kind"] == "boolean":
        numbers = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0}
        values = values.astype(object).map(lambda value: numbers[str(value).lower()], na_action="ignore")
    seconds_or_numbers = _seconds(values, column) if column["kind"] == "date" else pd.to_numeric(values)
    present = np.asarray(seconds_or_numbers, dtype=np.float64)
    is_missing = np.isnan(present)
    filled = np.where(is_missing, column["fill"] or 0.0, present)
    block = _date_parts(filled, column) if column["kind"] == "date" else filled[:, None]
    if column["fill"] is None:  # the model takes missing values as they are
        block = np.where(is_missing[:, None], np.nan, block)
    return np.column_stack([block, is_missing]) if column["has_indicator"] else block


def _seconds(dates: Any, column: dict[str, Any]) -> Any:
    """Return dates as seconds since 1970-01-01."""
    iso = r"\3-\1-\2" if column["date_order"] == "mdy" else r"\3-\2-\1"
    texts = dates.astype(str).where(dates.notna(), "NaT").str.replace(r"^(\d+)[./](\d+)[./](\d+)", iso, regex=True)
    moments = pd.to_datetime(texts, format="ISO8601", utc=True).dt.as_unit("us")
    return (moments - pd.Timestamp(0, tz="UTC").as_unit("us")).dt.total_seconds()


def _date_parts(seconds: Any, column: dict[str, Any]) -> np.ndarray[Any, Any]:
    """Return year, month, day, weekday, days since 1970-01-01 and, if it matters, hour."""
    whole_days = np.floor(seconds / 86_400)
    days = whole_days.astype("datetime64[D]")
    months = days.astype("datetime64[M]")
    parts = [
        months.astype("datetime64[Y]").astype(np.int64) + 1970,
        months.astype(np.int64) % 12 + 1,
        (days - months.astype("datetime64[D]")).astype(np.int64) + 1,
        (whole_days + 3) % 7,
        seconds / 86_400,
        (seconds - whole_days * 86_400) / 3600,
    ]
    return np.column_stack(parts if column["has_time"] else parts[:-1])


def predictions(labels: Any, probabilities: Any, preparation: dict[str, Any]) -> pd.DataFrame:
    """Return the name of the predicted class of each row, and the probability of each class if the model has them."""
    names = preparation["class_names"]
    columns: dict[str, Any] = {"class_name": [names[int(label)] for label in labels]}
    if probabilities is not None:
        columns |= {f"probability_{name}": probabilities[:, position] for position, name in enumerate(names)}
    return pd.DataFrame(columns)


def softmax(logits: Any) -> Any:
    """Return the probabilities of logits (n, classes)."""
    exponentials = np.exp(np.asarray(logits) - np.max(np.asarray(logits), axis=1, keepdims=True))
    return exponentials / exponentials.sum(axis=1, keepdims=True)
