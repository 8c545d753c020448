from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest

from mlcli.convert.formats.onnx_columns import add_features, column_inputs
from mlcli.convert.formats.onnx_nodes import Nodes
from mlcli.data.own.dates import date_parts
from mlcli.records import Preprocessing, Scaling, TableColumn, TableEncoding


def features(column, values):
    """Return what a graph computes from a column."""
    encoding = TableEncoding("label", ("", "NA"), (column,))
    names = encoding.feature_names
    table = Preprocessing("table", (len(names),), ("a", "b"), names, None, Scaling("none"), encoding)
    nodes = Nodes()
    x = add_features(nodes, table)
    outputs = [onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, ["n", len(names)])]
    graph = onnx.helper.make_graph(nodes.nodes, "table", column_inputs(nodes, table), outputs, nodes.constants)
    opsets = [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("ai.onnx.ml", 3)]
    session = onnxruntime.InferenceSession(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return session.run(None, {column.name: np.array(values).reshape(-1, 1)})[0]


def test_parts_of_dates_are_those_of_the_run():
    days = np.arange(-719_162, 2_932_896, 977, dtype=np.float64)  # from the year 1 to 9999
    leap = np.array(["1600-02-29", "1900-02-28", "1900-03-01", "2000-02-29", "2000-12-31", "1969-12-31"], "M8[D]")
    seconds = np.concatenate([days * 86_400 + days % 86_400, leap.astype("M8[s]").astype(np.float64)])
    column = TableColumn("when", "date", fill=1e9, has_indicator=True, date_order="ymd", has_time=True)
    found = features(column, np.append(seconds, np.nan))
    expected = date_parts(np.append(seconds, 1e9), has_time=True)
    np.testing.assert_allclose(found[:, :6], expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(found[:, :4], expected[:, :4])
    assert found[:, 6].tolist() == [0.0] * len(seconds) + [1.0]


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (TableColumn("a", "numeric", fill=0.5), [1.0, np.nan], [[1.0], [0.5]]),
        (TableColumn("a", "boolean", fill=1.0, has_indicator=True), ["No", "TRUE", ""], [[0, 0], [1, 0], [1, 1]]),
        (
            TableColumn("a", "categorical", categories=("x", "ä", None), has_other=True),
            ["ä", "", "NA", "new"],
            [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0], [0, 0, 0, 1]],
        ),
        (TableColumn("a", "categorical", categories=("x", "y")), ["y", "", "new"], [[0, 1], [0, 0], [0, 0]]),
    ],
)
def test_features_of_a_column(column, values, expected):
    assert features(column, values if column.kind == "numeric" else np.array(values, dtype=object)).tolist() == expected
