"""The columns of a table as inputs of an ONNX graph, and their features as its nodes.

Numbers are float64, NaN where missing. Texts and booleans are strings, "" where missing. Dates are seconds since
1970-01-01, float64, NaN where missing: ONNX has no operator that reads a date.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mlcli.convert.formats import Usage
from mlcli.convert.formats.onnx_nodes import Nodes
from mlcli.errors import UsageError
from mlcli.records import Preprocessing, TableColumn, TableEncoding

_TRUE, _FALSE = ("true", "True", "TRUE", "yes", "Yes", "YES"), ("false", "False", "FALSE", "no", "No", "NO")
_DATES = """\
for name, iso in {dates}.items():
    texts = table[name].astype(str).where(table[name].notna(), "NaT")
    texts = texts.str.replace(r"^(\\d+)[./](\\d+)[./](\\d+)", iso, regex=True)
    moments = pd.to_datetime(texts, format="ISO8601", utc=True).dt.as_unit("us")
    table[name] = (moments - pd.Timestamp(0, tz="UTC").as_unit("us")).dt.total_seconds()
"""
_SCORE = """\
inputs = {}
for column in session.get_inputs():
    values = table[column.name]
    is_text = column.type == "tensor(string)"
    values = values.astype(object).where(values.notna(), "").astype(str) if is_text else values.astype("float64")
    inputs[column.name] = values.to_numpy().reshape(-1, 1)
labels, scores = session.run(["class_name", "probabilities"], inputs)
"""


def columns_usage(preprocessing: Preprocessing, path: str) -> Usage:
    """Return the code for a model of columns, which reads `table`."""
    load = f"import onnxruntime\nimport pandas as pd\n\nsession = onnxruntime.InferenceSession({path})\n"
    orders = {"mdy": r"\3-\1-\2"}
    dates = {
        column.name: orders.get(column.date_order or "", r"\3-\2-\1")
        for column in _encoding(preprocessing).columns
        if column.kind == "date"
    }
    return Usage(load, (_DATES.replace("{dates}", repr(dates)) if dates else "") + _SCORE, "probabilities")


def _encoding(preprocessing: Preprocessing) -> TableEncoding:
    assert preprocessing.encoding is not None
    return preprocessing.encoding


def column_inputs(nodes: Nodes, preprocessing: Preprocessing) -> list[Any]:
    """Return an input (n, 1) for each column; UsageError for the name of a column that the graph uses otherwise."""
    from onnx import TensorProto, helper

    columns = _encoding(preprocessing).columns
    for column in columns:
        if column.name in nodes.names:
            raise UsageError(f"--to onnx: {column.name!r} is the name of a part of the model too; rename the column")
    kinds = [
        TensorProto.STRING if column.kind in ("categorical", "boolean") else TensorProto.DOUBLE for column in columns
    ]
    return [
        helper.make_tensor_value_info(column.name, kind, ["n", 1]) for column, kind in zip(columns, kinds, strict=True)
    ]


def named_class(nodes: Nodes, preprocessing: Preprocessing, logits: str) -> str:
    """Add the name of the predicted class, a text (n,); return the name of that output."""
    names = nodes.constant(np.array(preprocessing.class_names, dtype=object), "class_names")
    return nodes.add("Gather", names, nodes.add("ArgMax", logits, axis=1, keepdims=0), output="class_name")


def add_features(nodes: Nodes, preprocessing: Preprocessing) -> str:
    """Add the nodes from columns to scaled features; return the name of the latter, float32 (n, features).

    Everything up to the scaled features is computed in float64, as in the run.
    """
    encoding, scaling = _encoding(preprocessing), preprocessing.scaling
    blocks = [block for column in encoding.columns for block in _features(nodes, column, encoding.missing)]
    x = nodes.add("Concat", *blocks, axis=1)
    if scaling.shift is not None:
        x = nodes.add("Sub", x, nodes.double(scaling.shift))
    if scaling.scale is not None:
        x = nodes.add("Div", x, nodes.double(scaling.scale))
    return nodes.cast(x, np.float32)


def _features(nodes: Nodes, column: TableColumn, missing: tuple[str, ...]) -> list[str]:
    if column.kind == "categorical":
        return [_one_hot(nodes, column, missing)]
    number = column.name
    if column.kind == "boolean":
        values = [1.0] * len(_TRUE) + [0.0] * len(_FALSE)
        settings: dict[str, Any] = {
            "keys_strings": [*_TRUE, *_FALSE],
            "values_floats": values,
            "default_float": float("nan"),
        }
        number = nodes.cast(nodes.add("LabelEncoder", number, domain="ai.onnx.ml", **settings), np.float64)
    is_missing = nodes.add("IsNaN", number)
    filled = nodes.add("Where", is_missing, nodes.double(column.fill or 0.0), number)
    features = _date_parts(nodes, filled, column) if column.kind == "date" else [filled]
    return [*features, nodes.cast(is_missing, np.float64)] if column.has_indicator else features


def _one_hot(nodes: Nodes, column: TableColumn, missing: tuple[str, ...]) -> str:
    """Texts to positions, and these to zeros and ones; a position that is not compared has no feature."""
    other = len(column.categories)
    positions = {text: position for position, text in enumerate(column.categories) if text is not None}
    positions |= dict.fromkeys(("", *missing), column.categories.index(None) if None in column.categories else other)
    settings: dict[str, Any] = {"keys_strings": list(positions), "values_int64s": list(positions.values())}
    codes = nodes.add("LabelEncoder", column.name, domain="ai.onnx.ml", default_int64=other, **settings)
    compared = nodes.constant(np.arange(other + column.has_other).reshape(1, -1))
    return nodes.cast(nodes.add("Equal", codes, compared), np.float64)


def _date_parts(nodes: Nodes, seconds: str, column: TableColumn) -> list[str]:
    """Return year, month, day, weekday, days and hour, by the algorithm `civil_from_days`.

    Howard Hinnant, "chrono-compatible low-level date algorithms", 2014 (https://howardhinnant.github.io). Its years
    begin in March, and its quotients are rounded down, which float64 does exactly for numbers of this size.
    """

    def plus(number: str, other: str | float) -> str:
        return nodes.add("Add", number, other if isinstance(other, str) else nodes.double(other))

    def minus(number: str, other: str) -> str:
        return nodes.add("Sub", number, other)

    def times(number: str, factor: float) -> str:
        return nodes.add("Mul", number, nodes.double(factor))

    def quotient(number: str, divisor: float) -> str:
        return nodes.add("Floor", nodes.add("Div", number, nodes.double(divisor)))

    def remainder(number: str, divisor: float) -> str:
        return minus(number, times(quotient(number, divisor), divisor))

    def is_below(number: str, limit: float) -> str:
        return nodes.cast(nodes.add("Less", number, nodes.double(limit)), np.float64)

    whole_days = quotient(seconds, 86_400)
    from_march = plus(whole_days, 719_468)  # of the year 0
    era, day_of_era = quotient(from_march, 146_097), remainder(from_march, 146_097)
    leap_days = minus(quotient(day_of_era, 36_524), plus(quotient(day_of_era, 1460), quotient(day_of_era, 146_096)))
    year_of_era = quotient(plus(day_of_era, leap_days), 365)
    days_before = minus(plus(times(year_of_era, 365), quotient(year_of_era, 4)), quotient(year_of_era, 100))
    day_of_year = minus(day_of_era, days_before)
    month_from_march = quotient(plus(times(day_of_year, 5), 2), 153)
    days_of_months = quotient(plus(times(month_from_march, 153), 2), 5)
    month = plus(minus(month_from_march, times(is_below(month_from_march, 10), -12)), -9)
    year = plus(plus(year_of_era, times(era, 400)), is_below(month, 3))
    parts = [
        year,
        month,
        plus(minus(day_of_year, days_of_months), 1),
        remainder(plus(whole_days, 3), 7),
        nodes.add("Div", seconds, nodes.double(86_400)),
        nodes.add("Div", remainder(seconds, 86_400), nodes.double(3600)),
    ]
    return parts if column.has_time else parts[:-1]
