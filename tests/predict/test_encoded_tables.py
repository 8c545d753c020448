from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcli.errors import DataError, UsageError
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from tests.fixtures.tables import PENGUINS


@pytest.fixture
def run(penguins_run):
    return penguins_run


@pytest.fixture
def table():
    return pd.read_csv(PENGUINS, keep_default_na=False)


def predicted(run, path):
    """Return the prediction, and the predicted class of each row."""
    output = path.parent / "out.csv"
    prediction = predict(run, PredictRequest("", path, output, threads=1, force=True), lambda *_: None)
    return prediction, pd.read_csv(output)["class_name"].tolist()


def test_columns_are_found_by_name_and_no_target_is_needed(run, table, tmp_path):
    table.to_csv(tmp_path / "all.csv", index=False)
    expected = predicted(run, tmp_path / "all.csv")[1]
    others = table.drop(columns=["species", "year"])[["sex", "body_mass_g", "island"]]
    others = others.join(table[["flipper_length_mm", "bill_depth_mm", "bill_length_mm"]])
    others.to_csv(tmp_path / "others.csv.gz", index=False, sep=";")
    others.replace("NA", None).to_parquet(tmp_path / "others.parquet", index=False)
    for name in ("others.csv.gz", "others.parquet"):
        prediction, labels = predicted(run, tmp_path / name)
        assert labels == expected
        assert prediction.notes == ()


def test_predictions_of_the_test_rows_are_those_of_the_run(run, table, tmp_path):
    dataset = run.load_dataset()
    rows = {(row["bill_length_mm"], row["body_mass_g"]): index for index, row in table.iterrows() if row["sex"] != "NA"}
    names = run.preprocessing.feature_names
    stored = run.files.predictions()["labels"]
    table.to_csv(tmp_path / "all.csv", index=False)
    labels = predicted(run, tmp_path / "all.csv")[1]
    n_found = 0
    for sample, label in zip(dataset.test.x, stored, strict=True):
        key = tuple(f"{sample[names.index(name)]:g}" for name in ("bill_length_mm", "body_mass_g"))
        if key in rows:
            assert labels[rows[key]] == run.preprocessing.class_names[label]
            n_found += 1
    assert n_found > 60


def test_extra_columns_and_unseen_categories_are_noted(run, table, tmp_path):
    table["island"] = np.where(np.arange(len(table)) < 3, "Atlantis", table["island"])
    table.assign(extra=1).to_csv(tmp_path / "new.csv", index=False)
    assert predicted(run, tmp_path / "new.csv")[0].notes == (
        "columns that the run does not use: year, extra",
        "values that are none of the categories of the training rows: island (3)",
    )


def test_batches_are_encoded_as_the_whole_table(run, table, tmp_path, monkeypatch):
    table.to_csv(tmp_path / "all.csv", index=False)
    whole = predicted(run, tmp_path / "all.csv")[1]
    monkeypatch.setattr("mlcli.predict.samples._MAX_ROWS", 7)
    assert predicted(run, tmp_path / "all.csv")[1] == whole


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda table: table.drop(columns=["sex", "island"]), "new.csv: missing columns: 'island', 'sex'$"),
        (lambda table: table.assign(sex=table["sex"]).iloc[:0], "contains no samples"),
        (
            lambda table: table.assign(body_mass_g=["heavy"] + ["1"] * 343),
            r"new.csv: row 1 \(from 1\), column 'body_mass_g': 'heavy', expected a number",
        ),
    ],
)
def test_a_table_that_does_not_fit_the_run_is_refused(run, table, tmp_path, change, message):
    change(table).to_csv(tmp_path / "new.csv", index=False)
    with pytest.raises(DataError, match=message):
        predicted(run, tmp_path / "new.csv")
    assert not (tmp_path / "out.csv").exists()


def test_arrays_are_refused_because_columns_have_names(run, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((2, 13)))
    with pytest.raises(UsageError, match=r"x\.npy: cannot read this kind of file; use \.csv"):
        predicted(run, tmp_path / "x.npy")
