"""Runs on a person's own arrays: bit-identical to runs on the same known data, and everything that those can do."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mlcli.batch_bench import BatchBenchRequest
from mlcli.batch_bench.source import task_of
from mlcli.config.dataset import DatasetConfig
from mlcli.config.schema import ExperimentConfig
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.data.load import load_dataset
from mlcli.errors import DataError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict.readers import open_samples
from mlcli.runs.directory import RunDirectory
from mlcli.train.checkpointing import parse_checkpoint_every
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, resume, train

SILENT = QuietProgress(show_notes=False)
MLP = {"backend": "torch", "model": {"name": "mlp", "hidden": (8,)}, "training": {"epochs": 3, "batch_size": 64}}
LOGISTIC = {"backend": "sklearn", "model": {"name": "logistic"}}


def plan_of(dataset, settings):
    return make_plan(ExperimentConfig.model_validate({"dataset": dataset, **settings}))


def trained(plan, directory, observer=SILENT):
    train(plan, RunPaths(directory.parent, directory), 1, observer, every=parse_checkpoint_every("1epoch"))
    return open_run(RunDirectory(directory))


def whole(name):
    """The samples of a known dataset in the order of its source."""
    return load_dataset(DatasetConfig(name=name, test="train")).train


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """The digits as three arrays of a folder: images of bytes (n, height, width), and the digits as numbers."""
    folder = tmp_path_factory.mktemp("digits")
    data = whole("digits")
    np.save(folder / "x.npy", data.x[:, 0])
    np.save(folder / "y.npy", data.y)
    return folder


@pytest.fixture(scope="module")
def run(digits, tmp_path_factory):
    """A small network on the arrays of the digits, by torch. Tests only read it."""
    return trained(plan_of({"path": str(digits), "scaling": "standard"}, MLP), tmp_path_factory.mktemp("runs") / "run")


def test_a_run_on_arrays_is_bit_identical_to_one_on_the_known_dataset(run, tmp_path):
    known = trained(plan_of({"name": "digits", "scaling": "standard"}, MLP), tmp_path / "known")
    assert run.record.digests["split"] == known.record.digests["split"]
    for name, array in known.weights().items():
        np.testing.assert_array_equal(run.weights()[name], array)


def test_a_table_of_arrays_has_the_predictions_of_the_known_table(iris_run, tmp_path):
    data, info = whole("iris"), iris_run.preprocessing
    path = tmp_path / "iris.npz"
    np.savez(path, X=data.x, Y=np.array(info.class_names)[data.y], feature_names=np.array(info.feature_names))
    own = trained(plan_of({"path": str(path)}, LOGISTIC), tmp_path / "own")
    assert own.preprocessing.class_names == info.class_names
    assert own.preprocessing.feature_names == info.feature_names
    for name, array in iris_run.weights().items():
        np.testing.assert_array_equal(own.weights()[name], array)
    conversion = convert(own, ConvertRequest("", "sklearn", tmp_path / "model.skops", threads=1))
    assert conversion.n_changed == 0


def test_evaluate_reports_arrays_that_changed_and_finds_moved_ones(run, digits, tmp_path):
    assert evaluate(run, EvaluateRequest("", threads=1)).evaluation.reported == run.record.metrics["test"]
    x, y = np.load(digits / "x.npy"), np.load(digits / "y.npy")
    np.savez_compressed(tmp_path / "moved.npz", x=x, y=y)
    moved = evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "moved.npz")).evaluation
    assert moved.reported == run.record.metrics["test"]
    np.savez(tmp_path / "other.npz", x=255 - x, y=y)
    other = evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "other.npz")).evaluation
    assert any(note.startswith("not the data of the run: other has the fingerprint") for note in other.notes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, 1:], y), "samples of shape 1x7x8, and the run has 1x8x8"),
        (lambda x, y: (x / 16, y), "float64, and the run has bytes"),
        (lambda x, y: (x, y + 1), "labels that are no classes of the run: '10'"),
    ],
)
def test_arrays_that_do_not_fit_the_run_are_not_scored(change, message, run, digits, tmp_path):
    x, y = change(np.load(digits / "x.npy"), np.load(digits / "y.npy"))
    np.savez(tmp_path / "a.npz", x=x, y=y)
    with pytest.raises(DataError, match=message):
        evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "a.npz"))


def test_data_of_the_other_kind_is_refused(run, tmp_path):
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(UsageError, match=r"t.csv: the run was trained on arrays; name arrays"):
        evaluate(run, EvaluateRequest("", threads=1, data=tmp_path / "t.csv"))
    with pytest.raises(UsageError, match="dataset iris: the run was trained on data of its own"):
        evaluate(run, EvaluateRequest("", threads=1, dataset="iris"))


class _Stopping(QuietProgress):
    def on_epoch(self, record, n_epochs):
        if record.epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("changed", [None, "train", "test"])
def test_a_run_resumes_bit_identical_unless_one_of_its_files_has_changed(changed, digits, tmp_path):
    x, y = np.load(digits / "x.npy")[:400], np.load(digits / "y.npy")[:400]
    np.savez(tmp_path / "train.npz", x=x[:300], y=y[:300])
    np.savez(tmp_path / "test.npz", x=x[300:], y=y[300:])
    dataset = {"path": str(tmp_path / "train.npz"), "test_path": str(tmp_path / "test.npz")}
    straight = trained(plan_of(dataset, MLP), tmp_path / "straight")
    with pytest.raises(KeyboardInterrupt):
        trained(plan_of(dataset, MLP), tmp_path / "run", _Stopping(show_notes=False))
    directory, paths = RunDirectory(tmp_path / "run"), RunPaths(tmp_path)
    if changed is None:
        resume(directory, plan_of(dataset, MLP), paths, 1, SILENT)
        for name, array in straight.weights().items():
            np.testing.assert_array_equal(open_run(directory).weights()[name], array)
        return
    start, stop = (1, 301) if changed == "train" else (299, 399)
    np.savez(tmp_path / f"{changed}.npz", x=x[start:stop], y=y[start:stop])
    with pytest.raises(DataError, match="cannot be resumed: the dataset has changed since the run started"):
        resume(directory, plan_of(dataset, MLP), paths, 1, SILENT)


@pytest.mark.parametrize("axis", [1, -1])
def test_predict_takes_channels_on_either_side_as_training_does(axis, tmp_path):
    generator = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = generator.integers(0, 100, (60, 3, 6, 7)).astype(np.uint8)
    x[:, 0] += (100 * y[:, np.newaxis, np.newaxis]).astype(np.uint8)
    np.savez(tmp_path / "a.npz", x=np.moveaxis(x, 1, axis), y=y)
    run = trained(plan_of({"path": str(tmp_path / "a.npz")}, LOGISTIC), tmp_path / "run")
    (batch,) = open_samples(tmp_path / "a.npz", run.preprocessing).batches()
    np.testing.assert_array_equal(batch.x, x)
    assert run.record.metrics["test"].accuracy == 1.0


def test_a_benchmark_of_arrays_prints_the_command_that_trains_on_them(digits):
    flags = {"dataset.path": str(digits), "dataset.validation_path": str(digits)}
    task = task_of(BatchBenchRequest(backends="torch", flags=flags))
    expected = f"mlcli train --data {digits} --validation-data {digits} --backend torch --batch-size 32"
    assert task.train_command("torch", 1, 32) == expected


def test_engines_take_the_same_steps_on_arrays(digits, cli):
    done = cli("parity", "--data", digits, "--steps", "5", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [pair["verdict"] for pair in json.loads(done.stdout)["pairs"]] == ["equal"] * 3
