"""New samples labelled by a stored run."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.predict import array_reader as sample_arrays
from mlcli.predict.predict import PredictionRequest, predict


def silent(n_done, n_samples):
    return None


@pytest.fixture(autouse=True)
def _fifty_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(sample_arrays, "rows_per_batch", lambda expected: 50)


@pytest.fixture
def digits_file(digits_run, tmp_path):
    """The test split as raw values, flat, in floating point."""
    np.save(tmp_path / "x.npy", digits_run.load_dataset().test.x.reshape(-1, 64).astype(np.float64))
    return tmp_path / "x.npy"


def labelled(run, path, output, **options):
    prediction = predict(run, PredictionRequest(path, output, threads=1, **options), silent)
    assert [name for name in output.parent.iterdir() if name.name.endswith(".part")] == []
    return prediction


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".npy", ".parquet"])
def test_the_test_split_gets_the_labels_of_the_run(digits_run, digits_file, tmp_path, suffix):
    output = tmp_path / f"out{suffix}"
    prediction = labelled(digits_run, digits_file, output)
    stored = digits_run.files.predictions()
    labels, probabilities = contents(output)
    assert np.array_equal(labels, stored["labels"])
    if probabilities is not None:
        np.testing.assert_allclose(probabilities, stored["probabilities"], atol=1e-6)
    assert prediction.n_samples == len(labels)
    assert prediction.counts == {str(c): int((labels == c).sum()) for c in range(10)}
    assert prediction.notes == ()


def contents(path):
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False), None
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as arrays:
            assert arrays["class_names"].tolist() == list("0123456789")
            return arrays["labels"], arrays["probabilities"]
    frame = pd.read_csv(path, dtype={"class_name": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    assert frame["index"].tolist() == list(range(len(frame)))
    assert (frame["class_name"] == frame["label"].astype(str)).all()
    return frame["label"].to_numpy(), frame[[f"probability_{c}" for c in range(10)]].to_numpy()


def test_csv_holds_every_bit_of_a_probability(digits_run, digits_file, tmp_path):
    labelled(digits_run, digits_file, tmp_path / "out.csv")
    labelled(digits_run, digits_file, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert np.array_equal(contents(tmp_path / "out.csv")[1].astype(np.float32), arrays["probabilities"])


def test_progress_is_told_of_every_batch(digits_run, digits_file, tmp_path):
    told = []
    request = PredictionRequest(digits_file, tmp_path / "o.npy", threads=1)
    predict(digits_run, request, lambda n_done, n_samples: told.append((n_done, n_samples)))
    n = len(digits_run.load_dataset().test)
    assert told == [*((done, n) for done in range(50, n, 50)), (n, n)]


def test_a_table_is_scaled_as_the_run_was_and_needs_no_dataset(iris_run, tmp_path, monkeypatch):
    test = iris_run.load_dataset().test
    frame = pd.DataFrame(test.x, columns=iris_run.preprocessing.feature_names)
    frame[frame.columns[::-1]].to_csv(tmp_path / "x.csv", index=False)
    monkeypatch.setattr("mlcli.experiment.stored_run.load_dataset", None)
    labelled(iris_run, tmp_path / "x.csv", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["label"]) for row in rows] == iris_run.files.predictions()["labels"].tolist()
    assert {row["class_name"] for row in rows} <= {"setosa", "versicolor", "virginica"}


def test_an_estimator_predicts_too(forest_run, tmp_path):
    np.save(tmp_path / "x.npy", forest_run.load_dataset().test.x)
    labelled(forest_run, tmp_path / "x.npy", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as arrays:
        assert np.array_equal(arrays["probabilities"], forest_run.files.predictions()["probabilities"])


def test_images_are_named_in_the_output(digits_run, tmp_path):
    from PIL import Image

    folder = tmp_path / "images"
    folder.mkdir()
    test = digits_run.load_dataset().test
    for index in range(3):
        levels = np.round(test.x[index, 0] * (255 / 16)).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{index}.png")
    prediction = labelled(digits_run, folder, tmp_path / "out.csv")
    frame = pd.read_csv(tmp_path / "out.csv")
    assert frame["file"].tolist() == ["0.png", "1.png", "2.png"]
    assert frame["label"].tolist() == digits_run.files.predictions()["labels"][:3].tolist()
    assert "grey levels" in prediction.notes[0]
    labelled(digits_run, folder, tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as arrays:
        assert arrays["files"].tolist() == ["0.png", "1.png", "2.png"]


@pytest.mark.parametrize(
    ("factor", "words"), [(1 / 16, "lie between 0 and 1, but"), (10, "values go from 0 to 160, but"), (1, None)]
)
def test_values_out_of_the_range_of_the_run_are_said(digits_run, tmp_path, factor, words):
    np.save(tmp_path / "x.npy", digits_run.load_dataset().test.x * factor)
    notes = labelled(digits_run, tmp_path / "x.npy", tmp_path / "out.npy").notes
    assert [words in note for note in notes] == ([True] if words else [])


def test_an_output_that_is_there_is_replaced_only_by_force(digits_run, digits_file, tmp_path):
    (tmp_path / "out.npy").write_text("precious")
    with pytest.raises(UsageError, match="replace it with --force"):
        labelled(digits_run, digits_file, tmp_path / "out.npy")
    assert (tmp_path / "out.npy").read_text() == "precious"
    labelled(digits_run, digits_file, tmp_path / "out.npy", force=True)
    assert len(np.load(tmp_path / "out.npy")) == len(digits_run.load_dataset().test)


def test_the_input_is_never_the_output(digits_run, digits_file):
    with pytest.raises(UsageError, match="this is the input"):
        labelled(digits_run, digits_file, digits_file, force=True)


@pytest.mark.parametrize("suffix", [".csv", ".npz", ".npy", ".parquet"])
def test_a_fault_in_the_middle_leaves_nothing_behind(digits_run, tmp_path, suffix):
    x = digits_run.load_dataset().test.x.astype(np.float32)
    x[200] = np.nan
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(DataError, match="sample 200"):
        labelled(digits_run, tmp_path / "x.npy", tmp_path / f"out{suffix}")
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_outputs_that_cannot_be_written(digits_run, digits_file, tmp_path):
    with pytest.raises(UsageError, match=r"cannot be written; use .csv, .npz, .npy, .parquet"):
        labelled(digits_run, digits_file, tmp_path / "out.xlsx")
    with pytest.raises(MlcliError, match="cannot be written: No such file or directory"):
        predict(digits_run, PredictionRequest(digits_file, tmp_path / "none" / "out.csv"), silent)


def test_class_names_with_commas_stay_one_cell(digits_run, tmp_path):
    from mlcli.predict.writers import prediction_output
    from mlcli.records import Scores

    names = ("plain", 'with, comma and "quote"')
    with prediction_output(tmp_path / "out.csv", names) as writer:
        writer.write(Scores(np.array([1, 0]), None, None), ("a,b.png", "c.png"))
        writer.finish()
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "label", "class_name"], ["a,b.png", "1", names[1]], ["c.png", "0", "plain"],
        ]  # fmt: skip


def test_probabilities_that_are_no_numbers_are_refused_and_nothing_is_written(digits_copy, digits_file, tmp_path):
    """As from weights that are finite and far too large."""
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
    with pytest.raises(DataError, match="probabilities that are not numbers"):
        labelled(open_run(find_run(str(digits_copy), tmp_path)), digits_file, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
