from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from mlcli.data.own.table_file import TableFile
from mlcli.errors import DataError, UsageError
from mlcli.predict import PredictRequest, samples
from mlcli.predict.predict import predict
from tests.fixtures.tables import PENGUINS


@pytest.fixture(autouse=True)
def _batches_of_a_hundred(monkeypatch):
    monkeypatch.setattr(samples, "rows_per_batch", lambda expected: 100)


@pytest.fixture
def table():
    table = pd.read_csv(PENGUINS, keep_default_na=False, dtype=str)
    table.insert(3, "id", [f"{number:03}, a" for number in range(len(table))])
    table["class_name"] = ["NA", "", *["x"] * (len(table) - 2)]
    return table


def predicted(run, path, output, *keep):
    return predict(run, PredictRequest("", path, output, keep=keep, force=True, threads=1), lambda *_: None)


KEPT = ("id", "species", "bill_length_mm", "class_name")


@pytest.mark.parametrize("suffix", [".csv", ".json", ".parquet"])
def test_columns_of_a_table_are_carried_as_they_are_written(penguins_run, table, tmp_path, suffix):
    table.to_csv(tmp_path / "in.csv", index=False)
    output = tmp_path / f"out{suffix}"
    prediction = predicted(penguins_run, tmp_path / "in.csv", output, *KEPT, "id")
    assert prediction.notes == ("columns that the run does not use: year",)
    if suffix == ".csv":
        found = pd.read_csv(output, keep_default_na=False, dtype=str)
    else:
        rows = json.loads(output.read_text())["rows"] if suffix == ".json" else None
        found = pd.read_parquet(output) if rows is None else pd.DataFrame(rows)
    assert found.columns[:6].tolist() == ["id", "species", "bill_length_mm", "class_name (input)", "index", "label"]
    for name in KEPT:
        assert found[name if name in found and name != "class_name" else f"{name} (input)"].tolist() == [*table[name]]
    without = tmp_path / "without.csv"
    predicted(penguins_run, tmp_path / "in.csv", without)
    assert found["class_name"].tolist() == pd.read_csv(without)["class_name"].tolist()


def test_texts_with_line_breaks_stay_in_their_row(penguins_run, table, tmp_path):
    table["id"] = ["two\nlines", "carriage\rreturn", 'a "quote"', "", *table["id"][4:]]
    table.to_csv(tmp_path / "in.csv", index=False, quoting=csv.QUOTE_ALL)
    predicted(penguins_run, tmp_path / "in.csv", tmp_path / "out.csv", "id")
    found = pd.read_csv(tmp_path / "out.csv", keep_default_na=False, dtype=str)
    assert found["id"].tolist() == table["id"].tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_the_table_is_read_once(penguins_run, table, tmp_path, suffix, monkeypatch):
    path = tmp_path / f"in{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
    readings = []
    read = TableFile.read
    monkeypatch.setattr(TableFile, "read", lambda self, *given: readings.append(given) or read(self, *given))
    predicted(penguins_run, path, tmp_path / "out.csv", "id", "sex", "body_mass_g")
    assert len(readings) == 1


@pytest.mark.parametrize("kept", ["island", "body_mass_g"])
def test_a_short_row_is_found_although_its_last_cell_is_kept(penguins_run, table, tmp_path, kept):
    lines = table[[name for name in table if name != kept] + [kept]].to_csv(index=False).splitlines()
    lines[200] = lines[200].rpartition(",")[0]
    (tmp_path / "in.csv").write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"in\.csv:201: 9 cells, and the first line has 10"):
        predicted(penguins_run, tmp_path / "in.csv", tmp_path / "out.csv", kept)


def test_numbers_of_a_parquet_file_stay_numbers_and_missing_ones_are_missing(penguins_run, table, tmp_path):
    table["id"] = pd.array([*range(len(table) - 1), None], dtype="Int64")
    table["note"] = [None] * 150 + ["a"] * (len(table) - 150)
    table["when"] = pd.Timestamp("2024-01-31")
    table.to_parquet(tmp_path / "in.parquet", index=False)
    predicted(penguins_run, tmp_path / "in.parquet", tmp_path / "out.parquet", "id", "note", "when")
    found = pd.read_parquet(tmp_path / "out.parquet", dtype_backend="numpy_nullable")
    assert found["id"].dtype == "Int64"
    for name in ("id", "note"):
        assert found[name].fillna(-1 if name == "id" else "").tolist() == [
            value if pd.notna(value) else (-1 if name == "id" else "") for value in table[name]
        ]
    assert set(found["when"]) == {"2024-01-31 00:00:00"}
    predicted(penguins_run, tmp_path / "in.parquet", tmp_path / "out.csv", "id")
    assert pd.read_csv(tmp_path / "out.csv")["id"].dropna().tolist() == list(range(len(table) - 1))


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_columns_are_carried_for_a_known_dataset_too(iris_run, tmp_path, suffix):
    test = iris_run.load_dataset().test
    table = pd.DataFrame(test.x, columns=iris_run.preprocessing.feature_names)
    table.insert(2, "plant", [f"p{number}" for number in range(len(table))])
    path = tmp_path / f"in{suffix}"
    table.to_csv(path, index=False) if suffix == ".csv" else table.to_parquet(path, index=False)
    predicted(iris_run, path, tmp_path / "out.csv", "plant", "petal width (cm)")
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["plant"].tolist() == table["plant"].tolist()
    np.testing.assert_array_equal(found["petal width (cm)"], table["petal width (cm)"])
    np.testing.assert_array_equal(found["label"], iris_run.files.predictions()["labels"])


def test_what_cannot_be_kept_is_a_usage_error(penguins_run, digits_run, table, tmp_path):
    table.to_csv(tmp_path / "in.csv", index=False)
    with pytest.raises(UsageError, match=r"in\.csv has no column 'Id' \(did you mean 'id'\?\)\nits columns: sp"):
        predicted(penguins_run, tmp_path / "in.csv", tmp_path / "out.csv", "Id")
    np.save(tmp_path / "x.npy", np.zeros((2, 64)))
    with pytest.raises(UsageError, match=r"--keep id: .*x\.npy is not a table whose columns have names"):
        predicted(digits_run, tmp_path / "x.npy", tmp_path / "out.csv", "id")
    assert not (tmp_path / "out.csv").exists()
