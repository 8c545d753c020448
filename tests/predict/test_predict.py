"""Prediction of new samples with a stored run."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.predict import PredictRequest, samples
from mlcli.predict.predict import predict


def silent(n_done, n_samples):
    return None


@pytest.fixture(autouse=True)
def _batches_of_fifty(monkeypatch):
    monkeypatch.setattr(samples, "rows_per_batch", lambda expected: 50)


@pytest.fixture
def digits_file(digits_run, tmp_path):
    """A file with the test split as raw, flattened floating-point values."""
    np.save(tmp_path / "x.npy", digits_run.load_dataset().test.x.reshape(-1, 64).astype(np.float64))
    return tmp_path / "x.npy"


def predicted(run, path, output, **options):
    prediction = predict(run, PredictRequest("", path, output, threads=1, **options), silent)
    assert [name for name in output.parent.iterdir() if name.name.endswith(".part")] == []
    return prediction


def contents(path):
    """Return the labels and probabilities in an output file."""
    if path.suffix == ".json":
        frame = pd.DataFrame(json.loads(path.read_text())["rows"])
    else:
        frame = pd.read_csv(path, dtype={"class_name": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    assert frame["index"].tolist() == list(range(len(frame)))
    assert (frame["class_name"] == frame["label"].astype(str)).all()
    return frame["label"].to_numpy(), frame[[f"probability_{c}" for c in range(10)]].to_numpy()


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_the_test_split_is_predicted_as_in_the_run(digits_run, digits_file, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    prediction = predicted(digits_run, digits_file, output)
    stored = digits_run.files.predictions()
    labels, probabilities = contents(output)
    assert np.array_equal(labels, stored["labels"])
    np.testing.assert_allclose(probabilities, stored["probabilities"], atol=1e-6)
    assert prediction.n_samples == len(labels)
    assert prediction.counts == {str(c): int((labels == c).sum()) for c in range(10)}
    assert prediction.notes == ()


def test_csv_output_is_exact(digits_run, digits_file, tmp_path):
    predicted(digits_run, digits_file, tmp_path / "out.csv")
    predicted(digits_run, digits_file, tmp_path / "out.parquet")
    exact = contents(tmp_path / "out.parquet")[1]
    assert exact.dtype == np.float32
    assert np.array_equal(contents(tmp_path / "out.csv")[1].astype(np.float32), exact)


def test_progress_is_reported_after_every_batch(digits_run, digits_file, tmp_path):
    reported = []
    request = PredictRequest("", digits_file, tmp_path / "out.csv", threads=1)
    predict(digits_run, request, lambda n_done, n_samples: reported.append((n_done, n_samples)))
    n = len(digits_run.load_dataset().test)
    assert reported == [*((done, n) for done in range(50, n, 50)), (n, n)]


def test_tables_are_scaled_as_in_the_run_without_its_dataset(iris_run, tmp_path, monkeypatch):
    test = iris_run.load_dataset().test
    frame = pd.DataFrame(test.x, columns=iris_run.preprocessing.feature_names)
    frame[frame.columns[::-1]].to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setattr("mlcli.experiment.stored_run.load_dataset", None)
    predicted(iris_run, tmp_path / "x.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == iris_run.files.predictions()["labels"].tolist()
    assert {row["class_name"] for row in rows} <= {"setosa", "versicolor", "virginica"}


def test_an_estimator_predicts_too(forest_run, tmp_path):
    np.save(tmp_path / "x.npy", forest_run.load_dataset().test.x)
    predicted(forest_run, tmp_path / "x.npy", tmp_path / "out.parquet")
    frame = pd.read_parquet(tmp_path / "out.parquet")
    assert np.array_equal(frame.filter(like="probability_"), forest_run.files.predictions()["probabilities"])


def test_images_are_named_in_the_output(digits_run, tmp_path):
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    test = digits_run.load_dataset().test
    for index in range(3):
        levels = np.round(test.x[index, 0] * (255 / 16)).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{index}.png")
    prediction = predicted(digits_run, folder, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["file"].tolist() == ["0.png", "1.png", "2.png"]
    assert frame["label"].tolist() == digits_run.files.predictions()["labels"][:3].tolist()
    assert "grey levels" in prediction.notes[0]
    predicted(digits_run, folder, tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet")["file"].tolist() == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("factor", "text"), [(1 / 16, "lie between 0 and 1, but"), (10, "values range from 0 to 160, but"), (1, None)]
)
def test_values_outside_the_range_of_the_run_are_noted(digits_run, tmp_path, factor, text):
    np.save(tmp_path / "x.npy", digits_run.load_dataset().test.x * factor)
    notes = predicted(digits_run, tmp_path / "x.npy", tmp_path / "out.csv").notes
    assert [text in note for note in notes] == ([True] if text else [])


def test_an_existing_output_is_replaced_only_with_force(digits_run, digits_file, tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(UsageError, match="exists already; add --force to replace it"):
        predicted(digits_run, digits_file, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "precious"
    predicted(digits_run, digits_file, tmp_path / "out.csv", force=True)
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(digits_run.load_dataset().test)


def test_the_input_is_never_the_output(iris_run, tmp_path):
    (tmp_path / "x.csv").write_text("precious")
    with pytest.raises(UsageError, match="is the input"):
        predicted(iris_run, tmp_path / "x.csv", tmp_path / "x.csv", force=True)
    assert (tmp_path / "x.csv").read_text() == "precious"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_no_output_is_written_if_a_later_batch_is_invalid(digits_run, tmp_path, suffix):
    x = digits_run.load_dataset().test.x.astype(np.float32)
    x[200] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="sample 200"):
        predicted(digits_run, tmp_path / "x.npy", tmp_path / f"out{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".xlsx", ""])
def test_other_outputs_are_refused_with_the_possible_ones(digits_run, digits_file, tmp_path, suffix):
    with pytest.raises(UsageError, match=r"cannot write this kind of file; use .csv, .parquet or .json"):
        predicted(digits_run, digits_file, tmp_path / f"out{suffix}")


def test_an_output_in_a_missing_folder_is_an_error(digits_run, digits_file, tmp_path):
    with pytest.raises(MlcliError, match="cannot be written: No such file or directory"):
        predict(digits_run, PredictRequest("", digits_file, tmp_path / "none" / "out.csv"), silent)


def test_probabilities_that_are_not_finite_are_refused_and_nothing_is_written(digits_copy, digits_file, tmp_path):
    """Finite but far too large weights produce such probabilities."""
    from mlcli.experiment.stored_run import open_run
    from mlcli.runs.directory import RunDirectory
    from mlcli.runs.find import find_run

    weights = {
        name: array * np.float32(1e30)
        for name, array in open_run(find_run(str(digits_copy), tmp_path)).weights().items()
    }
    directory = RunDirectory(digits_copy)
    directory.write_weights(weights)
    directory.finish(directory.read_record())
    with pytest.raises(DataError, match="the predicted probabilities are not finite"):
        predicted(open_run(find_run(str(digits_copy), tmp_path)), digits_file, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
