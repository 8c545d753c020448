from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcli.data.own import column_store
from mlcli.data.own.column_store import open_columns, read_columns
from mlcli.data.own.table_file import TableFile
from mlcli.errors import DataError

ODD = {
    "integer then float": ["1", "2", "3", "4.5", "6", "7"],
    "integer then text": ["01", "2", "3.0", "x", "5", "6"],
    "booleans": ["True", "False", "", "true", "TRUE", "False"],
    "boolean then number": ["True", "False", "1", "0", "True", "1"],
    "boolean then text": ["True", "False", "yes", "TRUE", "no", "x"],
    "beyond 64 bits": ["1", "2", "18446744073709551616", "4", "5", "6"],
    "beyond 63 bits": ["1", "2", "9223372036854775808", "9223372036854775809", "5", "6"],
    "negative and beyond 63 bits": ["-1", "2", "9223372036854775808", "3", "5", "6"],
    "missing and beyond 63 bits": ["", "", "9223372036854775808", "3", "5", "6"],
    "missing then number": ["", "NA", "1", "2", "3", "4"],
    "missing then text": ["", "NA", "a", "b", "", "b"],
    "text then missing": ["a", "b", "", "NA", "b", "a"],
    "missing": ["", "NA", "", "NA", "", ""],
    "not exact in float": ["9007199254740993", "2", "1.5", "1", "2", "3"],
    "quoted": ['"1"', '"2"', '"a ""b"""', '"x\ny"', "3", "4"],
    "infinite": ["inf", "1", "2", "3", "-inf", "x"],
    "blanks": [" 1", "2 ", " 3", "a b", "5", "6"],
    "missing at the end": ["1", "", "3", "x", "", ""],
}


def comparable(series):
    return ["missing" if value is None or value != value else (type(value), value) for value in series.tolist()]


@pytest.fixture
def odd_file(tmp_path):
    path = tmp_path / "t.csv"
    rows = [",".join(values) for values in zip(*ODD.values(), strict=True)]
    path.write_text("\n".join([",".join(ODD), *rows]) + "\n")
    return TableFile(path, ("", "NA"))


@pytest.mark.parametrize("n_rows", [1, 2, 4])
@pytest.mark.parametrize("is_stored", [False, True])
def test_columns_read_by_blocks_have_the_values_of_a_table_read_at_once(
    n_rows, is_stored, odd_file, tmp_path, monkeypatch
):
    (whole,) = odd_file.read(list(ODD))
    monkeypatch.setattr(column_store, "_MAX_BLOCK_ROWS", n_rows)
    store = read_columns(odd_file, list(ODD), tmp_path if is_stored else None)
    store = open_columns(tmp_path) if is_stored else store
    assert {name: comparable(store[name]) for name in store.columns} == {name: comparable(whole[name]) for name in ODD}
    picked = store.take(np.array([5, 2, 0]))
    assert [comparable(picked[name]) for name in ODD] == [comparable(whole[name].iloc[[5, 2, 0]]) for name in ODD]
    assert picked["quoted"].index.tolist() == [5, 2, 0]


def test_nullable_types_of_parquet_are_stored_as_those_of_text(tmp_path, monkeypatch):
    table = pd.DataFrame(
        {
            "number": pd.array([1, 2, None, 4], dtype="Int64"),
            "flag": pd.array([True, None, False, True], dtype="boolean"),
            "day": pd.to_datetime(["2024-01-01", None, "2024-01-03", "2024-01-04"]),
            "moment": pd.to_datetime(["2024-01-01"] * 4).tz_localize("UTC"),
            "text": ["a", None, "", "b"],
        }
    )
    table.to_parquet(tmp_path / "t.parquet", index=False)
    monkeypatch.setattr(column_store, "_MAX_BLOCK_ROWS", 2)
    read_columns(TableFile(tmp_path / "t.parquet", ("",)), list(table), tmp_path)
    store = open_columns(tmp_path)
    assert comparable(store["number"]) == [(float, 1.0), (float, 2.0), "missing", (float, 4.0)]
    assert comparable(store["flag"]) == [(bool, True), "missing", (bool, False), (bool, True)]
    assert store["day"].tolist()[2:] == table["day"].tolist()[2:]
    assert store["moment"].iloc[0] == "2024-01-01 00:00:00+00:00"
    assert comparable(store["text"]) == [(str, "a"), "missing", "missing", (str, "b")]


def test_a_table_without_rows_is_refused(tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(DataError, match="no rows below the header"):
        read_columns(TableFile(tmp_path / "t.csv", ()), ["a"], None)


def test_progress_is_reported_with_rows_and_the_fraction_of_the_file(odd_file, monkeypatch):
    monkeypatch.setattr(column_store, "_MAX_BLOCK_ROWS", 4)
    seen = []
    read_columns(odd_file, ["blanks"], None, lambda rows, fraction: seen.append((rows, fraction)))
    assert [rows for rows, _ in seen] == [4, 6]
    assert seen[-1][1] == 1.0
