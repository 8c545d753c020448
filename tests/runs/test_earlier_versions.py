"""Run directories that an earlier version wrote stay readable and usable.

`fixtures/v0_1_0` contains one run of each kind, written by mlcli 0.1.0: a logistic regression and an mlp of
scikit-learn, an mlp of torch and of keras, an estimator, a run that started from the weights of another, one that
diverged and one that was interrupted. The files must not be edited; their checksums are in their manifests.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import sklearn.metrics
import yaml

from mlcli.cli.app import app
from mlcli.errors import DataError
from mlcli.metrics.scores import log_loss
from mlcli.records import Scores
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_runs
from mlcli.runs.reader import VerifiedFiles

RUNS = Path(__file__).parent / "fixtures" / "v0_1_0"
LOGISTIC = "20261101T000000000Z_iris_logistic_sklearn_s0_aaaaaa"
TORCH = "20261102T000000000Z_iris_mlp_torch_s0_bbbbbb"
KERAS = "20261103T000000000Z_iris_mlp_keras_s0_cccccc"
MLP = "20261104T000000000Z_iris_mlp_sklearn_s0_dddddd"
FOREST = "20261105T000000000Z_iris_estimator_sklearn_s0_eeeeee"
CONTINUED = "20261106T000000000Z_iris_mlp_torch_s0_ffffff"
DIVERGED = "20261107T000000000Z_iris_mlp_torch_s0_abcabc"
INTERRUPTED = "20261108T000000000Z_iris_mlp_torch_s0_defdef"
FINISHED = (LOGISTIC, TORCH, KERAS, MLP, FOREST, CONTINUED)
ALL = (*FINISHED, DIVERGED, INTERRUPTED)
N_TEST = 30


@pytest.fixture
def mlcli(capsys, monkeypatch, tmp_path):
    """Run a command in this process, in an empty folder, and return what it prints as JSON."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        with patch.dict(os.environ):  # commands set the thread count of libraries there
            app([*map(str, arguments), "--format", "json"], standalone_mode=False)
        return json.loads(capsys.readouterr().out)

    return run


def recorded(run):
    return json.loads((RUNS / run / "metrics.json").read_text())


def expected_accuracy(run):
    return pytest.approx(recorded(run)["metrics"]["test"]["accuracy"], abs=1e-12)


def expected_loss(run):
    """Return the loss that the run recorded, or that of scikit-learn, as version 0.1 limited those of estimators."""
    if run != FOREST:
        return recorded(run)["metrics"]["test"]["loss"]
    predictions = VerifiedFiles(RUNS / FOREST).predictions()
    return sklearn.metrics.log_loss(predictions["y"], predictions["probabilities"].astype(np.float64))


def test_stored_predictions_of_an_estimator_give_the_loss_that_the_run_recorded():
    predictions = VerifiedFiles(RUNS / FOREST).predictions()
    scores = Scores(predictions["labels"], None, predictions["probabilities"])
    assert log_loss(scores, predictions["y"]) == recorded(FOREST)["metrics"]["test"]["loss"]


@pytest.fixture(scope="module", autouse=True)
def _the_fixture_is_not_changed():
    before = {path: path.read_bytes() for path in RUNS.rglob("*") if path.is_file()}
    yield
    assert {path: path.read_bytes() for path in RUNS.rglob("*") if path.is_file()} == before


def test_the_fixture_holds_one_run_of_each_kind():
    assert [run.run_id for run in find_runs(RUNS)] == sorted(ALL, reverse=True)


def test_every_run_is_listed(mlcli):
    rows = mlcli("runs", "list", "--runs-dir", RUNS)["rows"]
    assert [row["directory"] for row in rows] == [str(RUNS / run) for run in sorted(ALL, reverse=True)]
    assert {row["status"] for row in rows} == {"finished", "diverged", "interrupted"}


@pytest.mark.parametrize("run", ALL)
def test_every_run_is_shown_with_its_history(mlcli, run):
    shown, record = mlcli("runs", "show", RUNS / run), recorded(run)
    *notes, unverified = shown["notes"]
    assert notes == record["notes"]
    assert "an earlier version wrote this run without a checksum" in unverified
    assert shown["timing"].items() >= record["timing"].items()
    unchanged = record.keys() - {"metrics", "notes", "timing"}
    assert {key: shown[key] for key in unchanged} == {key: record[key] for key in unchanged}
    assert shown["metrics"].keys() == record["metrics"].keys()
    for split, metrics in record["metrics"].items():
        assert shown["metrics"][split]["accuracy"] == metrics["accuracy"]
    with (RUNS / run / "history.csv").open(newline="") as file:
        losses = [row["train_loss"] for row in csv.DictReader(file)]
    assert [epoch["train_loss"] for epoch in shown["history"]] == [float(loss) if loss else None for loss in losses]


@pytest.mark.parametrize("run", [KERAS, FOREST])
def test_the_metrics_that_an_old_run_did_not_compute_are_those_of_its_predictions(mlcli, run):
    test = mlcli("runs", "show", RUNS / run)["metrics"]["test"]
    predictions = VerifiedFiles(RUNS / run).predictions()
    expected = sklearn.metrics.balanced_accuracy_score(predictions["y"], predictions["labels"])
    assert test["balanced_accuracy"] == pytest.approx(expected)
    assert (test["roc_auc"] > 0.8, test["largest_class_accuracy"], test["undefined"]) == (True, None, {})


def table(capsys, run):
    app(["runs", "show", str(RUNS / run)], standalone_mode=False)
    return " ".join(capsys.readouterr().out.split())


def test_the_training_scores_of_an_old_run_are_labelled_as_means_of_the_epoch(capsys):
    text = table(capsys, TORCH)
    expected = recorded(TORCH)
    assert f"train accuracy during the epoch │ {expected['metrics']['train']['accuracy']:.4f}" in text
    assert f"train loss during the epoch │ {expected['metrics']['train']['loss']:.4f}" in text
    assert f"best epoch (validation) │ {expected['best_epoch']} of {expected['epochs']}" in text


def test_no_epoch_of_an_old_run_without_validation_is_called_the_best(capsys):
    assert recorded(KERAS)["best_epoch"] is not None
    assert "best" not in table(capsys, KERAS)


def test_an_old_single_fit_was_scored_after_training_and_shows_no_samples_per_second(capsys):
    text = table(capsys, LOGISTIC)
    assert f"train accuracy │ {recorded(LOGISTIC)['metrics']['train']['accuracy']:.4f}" in text
    assert recorded(LOGISTIC)["samples_per_second"] is not None
    assert "samples/s" not in text


@pytest.mark.parametrize("run", ALL)
def test_every_file_is_verified_and_read(run):
    files = VerifiedFiles(RUNS / run)
    record = RunDirectory(RUNS / run).read_record()
    assert files.config().backend == record.backend
    assert files.environment()["mlcli"] == "0.1.0"
    assert files.preprocessing().class_names == ("setosa", "versicolor", "virginica")
    assert (files.path / "estimator.skops").is_file() == (run == FOREST)
    if run in FINISHED:
        predictions = files.predictions()
        assert np.mean(predictions["labels"] == predictions["y"]) == record.metrics["test"].accuracy
        assert run == FOREST or sum(array.size for array in files.weights().values()) == record.n_parameters


@pytest.mark.parametrize(
    ("run", "backend"),
    [*((run, None) for run in FINISHED), (LOGISTIC, "torch"), (TORCH, "keras"), (KERAS, "sklearn"), (MLP, "torch")],
)
def test_a_finished_run_is_evaluated_in_its_engine_and_in_others(mlcli, run, backend):
    arguments = ["--backend", backend] if backend else []
    evaluation = mlcli("evaluate", RUNS / run, "--threads", 1, *arguments)
    assert evaluation["metrics"]["accuracy"] == expected_accuracy(run)
    assert evaluation["metrics"]["loss"] == pytest.approx(expected_loss(run), rel=1e-5)
    assert evaluation["notes"] == (["loss is 2.41643, but the run reported 1.07634"] if run == FOREST else [])


@pytest.mark.parametrize("run", FINISHED)
def test_a_finished_run_predicts_the_labels_that_it_stored(mlcli, run, tmp_path):
    from mlcli.config.schema import DatasetConfig
    from mlcli.data.load import load_dataset

    settings = yaml.safe_load((RUNS / run / "config.yaml").read_text())["dataset"]
    np.save(tmp_path / "x.npy", load_dataset(DatasetConfig.model_validate(settings)).test.x)
    report = mlcli("predict", RUNS / run, "--input", "x.npy", "--output", "labels.csv", "--threads", 1)
    assert report["n_samples"] == N_TEST
    with (tmp_path / "labels.csv").open(newline="") as file:
        labels = [int(row["label"]) for row in csv.DictReader(file)]
    assert labels == VerifiedFiles(RUNS / run).predictions()["labels"].tolist()


@pytest.mark.parametrize(
    ("run", "target", "name"),
    [
        (LOGISTIC, "sklearn", "m.skops"),
        (TORCH, "keras", "m.keras"),
        (KERAS, "torch", "m.safetensors"),
        (MLP, "sklearn", "m.skops"),
        (FOREST, "sklearn", "m.skops"),
        (CONTINUED, "torch", "m.safetensors"),
    ],
)
def test_a_finished_run_is_converted(mlcli, run, target, name, tmp_path):
    mlcli("convert", RUNS / run, "--to", target, "--output", name)
    assert (tmp_path / name).stat().st_size > 0


def test_finished_runs_are_compared(mlcli):
    compared = mlcli("compare", *(RUNS / run for run in FINISHED), "--allow-different-data")
    assert len(compared["variants"]) == len(FINISHED)


def test_a_new_run_starts_from_the_weights_of_an_old_one(mlcli):
    model = ("--dataset", "iris", "--model", "mlp", "--set", "model.hidden=[8]", "--epochs", 1, "--threads", 1)
    started = mlcli("train", "--backend", "torch", *model, "--init-from", RUNS / KERAS, "--quiet")
    assert any(KERAS in note for note in started["notes"])


def test_an_edited_record_of_an_old_run_is_refused_because_its_predictions_have_other_scores(mlcli, tmp_path):
    path = Path(shutil.copytree(RUNS / TORCH, tmp_path / TORCH))
    record = recorded(TORCH)
    record["metrics"]["test"]["accuracy"] = 0.9999
    (path / "metrics.json").write_text(json.dumps(record))
    for command in (("runs", "show"), ("evaluate",), ("compare", RUNS / KERAS), ("receipt", RUNS / KERAS)):
        with pytest.raises(DataError, match=r"metrics\.json was altered: .* not that of predictions\.npz"):
            mlcli(*command, path)


def test_the_experiment_of_an_old_run_is_recognised_as_finished(mlcli):
    again = mlcli("train", RUNS / TORCH / "config.yaml", "--if-needed", "--runs-dir", RUNS, "--quiet")
    assert (again["is_reused"], again["run_id"]) == (True, TORCH)


def test_an_interrupted_run_is_resumed_to_the_end(mlcli, tmp_path):
    path = tmp_path / INTERRUPTED
    shutil.copytree(RUNS / INTERRUPTED, path)
    before = RunDirectory(path).read_history()
    resumed = mlcli("train", "--resume", path, "--quiet")
    assert (resumed["status"], resumed["epochs"], resumed["run_id"]) == ("finished", 2000, INTERRUPTED)
    history = VerifiedFiles(path).history()
    assert history[: len(before)] == before
    assert [epoch.epoch for epoch in history] == list(range(1, 2001))
    assert history[-1].train_loss < before[-1].train_loss
    assert not (path / "checkpoint").exists()
