"""Starting from the weights of a finished run, in every engine that has the model."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mlcli.config.dump import to_yaml
from mlcli.config.experiment import load_experiment
from mlcli.errors import DataError, UsageError
from mlcli.experiment.initial_weights import pinned, read_source, weights_digest
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run
from mlcli.train.trainer import RunPaths, train

SMALL = {"model.hidden": [16], "training.epochs": 1}
STILL = {"optimizer.name": "sgd", "optimizer.lr": 1e-300}  # steps too small to move a weight
LOGISTIC = {"dataset.name": "iris", "model.name": "logistic", "optimizer.weight_decay": 0.01}


class Notes:
    def __init__(self):
        self.notes = []

    def on_note(self, text):
        self.notes.append(text)

    def __getattr__(self, name):
        return lambda *arguments: None


def planned(backend, path=None, **flags):
    dotted = {key.replace("__", "."): value for key, value in flags.items()}
    return make_plan(load_experiment(path, flags={"backend": backend, **dotted}, environ={}))


def run(directory, backend, *, if_needed=False, **flags):
    return train(planned(backend, **flags), RunPaths(directory), 1, Notes(), if_needed=if_needed)


def weights_of(result):
    return open_run(find_run(str(result.directory), result.directory.parent)).weights()


def assert_equal_weights(found, expected):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A runs directory with a run of a torch mlp on digits named source."""
    directory = tmp_path_factory.mktemp("runs")
    plan = planned("torch", **SMALL)
    train(plan, RunPaths(directory, directory / "source"), 1, Notes())
    return directory


@pytest.fixture
def runs(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "runs")


@pytest.mark.parametrize("backend", ["sklearn", "torch", "keras"])
def test_training_starts_from_those_weights_in_every_engine(backend, runs):
    source = open_run(find_run("source", runs))
    result = run(runs, backend, init_from__run="source", **SMALL, **STILL)
    assert_equal_weights(weights_of(result), source.weights())
    assert result.record.digests["initial_weights"] == source.record.digests["weights"]
    assert "starts from the weights of run source, trained on digits by torch" in result.record.notes


@pytest.mark.parametrize("backend", ["sklearn", "torch", "keras"])
def test_training_continues_where_the_run_ended(backend, runs):
    first_loss = open_run(find_run("source", runs)).record.metrics["train"].loss
    longer = run(runs, backend, init_from__run="source", **SMALL)
    assert longer.record.metrics["train"].loss < first_loss


def test_the_written_config_names_the_run_in_full_and_runs_again(runs):
    result = run(runs, "torch", init_from__run="last", **SMALL)
    config = open_run(find_run(str(result.directory), runs)).config
    assert config.init_from.run == "source"
    assert config.init_from.weights == open_run(find_run("source", runs)).record.digests["weights"]
    again = train(make_plan(load_experiment(result.directory / "config.yaml", environ={})), RunPaths(runs), 1, Notes())
    assert again.record.digests == result.record.digests
    assert again.record.metrics == result.record.metrics


def test_a_run_in_another_directory_is_named_by_its_path(runs, tmp_path):
    plan = planned("torch", init_from__run=str(runs / "source"), **SMALL)
    plan = pinned(plan, read_source(plan, tmp_path / "other"))
    assert plan.config.init_from.run == str(runs / "source")


def test_the_weights_are_part_of_the_experiment_and_their_location_is_not(runs):
    plain = run(runs, "torch", **SMALL)
    first = run(runs, "torch", init_from__run="source", **SMALL)
    assert first.record.digests["experiment"] != plain.record.digests["experiment"]
    shutil.copytree(runs / "source", runs / "moved")
    reused = run(runs, "torch", init_from__run="moved", if_needed=True, **SMALL)
    assert reused.is_reused
    assert reused.record.run_id == first.record.run_id
    other = run(runs, "torch", init_from__run=first.record.run_id, if_needed=True, **SMALL)
    assert not other.is_reused


def test_other_weights_under_the_same_name_are_refused(runs):
    result = run(runs, "torch", init_from__run="source", **SMALL)
    shutil.rmtree(runs / "source")
    train(planned("torch", seed=5, **SMALL), RunPaths(runs, runs / "source"), 1, Notes())
    with pytest.raises(DataError, match=r"init_from: the weights of run source have the digest .*asks for"):
        train(make_plan(load_experiment(result.directory / "config.yaml", environ={})), RunPaths(runs), 1, Notes())


def test_another_run_on_the_command_line_drops_the_digest_of_the_file(runs, tmp_path):
    plan = planned("torch", init_from__run="source", **SMALL)
    config = pinned(plan, read_source(plan, runs)).config
    (tmp_path / "again.yaml").write_text(to_yaml(config), encoding="utf-8")
    again = planned("torch", tmp_path / "again.yaml", init_from__run="last")
    assert again.config.init_from.weights is None
    assert planned("torch", tmp_path / "again.yaml").config.init_from == config.init_from


@pytest.mark.parametrize(
    ("flags", "difference"),
    [
        ({"model__hidden": [17]}, "its model:  flatten, linear 64 to 16, relu, linear 16 to 10\nthis model: flatten"),
        ({"model__hidden": [16], "model__activation": "tanh"}, "this model: flatten, linear 64 to 16, tanh, linear 16"),
        ({"model__hidden": [16], "dataset__name": "iris"}, "this model: flatten, linear 4 to 16"),
        ({"model__name": "logistic"}, "this model: flatten, linear 64 to 10"),
        ({"model__name": "cnn", "model__channels": [2]}, "this model: convolution 1 to 2 (3x3), relu, 2x2 max pooling"),
    ],
)
def test_another_model_is_refused_with_a_description_of_both(flags, difference, runs):
    n_before = len(list(runs.iterdir()))
    with pytest.raises(UsageError) as caught:
        run(runs, "torch", init_from__run="source", **flags)
    assert "init_from: run source has a different model" in str(caught.value)
    assert difference in str(caught.value)
    assert len(list(runs.iterdir())) == n_before


def test_dropout_and_the_form_of_the_output_may_differ(runs):
    changed = {"model.dropout": 0.5, "model.output": "softmax"}
    result = run(runs, "torch", init_from__run="source", **SMALL, **STILL, **changed)
    found, expected = weights_of(result), open_run(find_run("source", runs)).weights()
    for array, original in zip(found.values(), expected.values(), strict=True):
        np.testing.assert_array_equal(array, original)
    assert list(found) != list(expected)


def test_a_run_in_float64_starts_from_the_same_numbers(runs):
    result = run(runs, "torch", init_from__run="source", **SMALL, **STILL, **{"runtime.precision": "float64"})
    for name, array in open_run(find_run("source", runs)).weights().items():
        assert weights_of(result)[name].dtype == np.float64
        np.testing.assert_array_equal(weights_of(result)[name], array)


def test_logistic_regression_by_lbfgs_warm_starts(tmp_path):
    cold = run(tmp_path, "sklearn", **LOGISTIC)
    warm = run(tmp_path, "sklearn", init_from__run=cold.record.run_id, **LOGISTIC, **{"optimizer.max_iter": 1})
    short = run(tmp_path, "sklearn", **LOGISTIC, **{"optimizer.max_iter": 1})
    assert warm.record.metrics["train"].loss == pytest.approx(cold.record.metrics["train"].loss, abs=1e-3)
    assert short.record.metrics["train"].loss > cold.record.metrics["train"].loss + 0.1
    warm_epoch = run(tmp_path, "torch", init_from__run=cold.record.run_id, dataset__name="iris", model__name="logistic",
                    training__epochs=1, **STILL)  # fmt: skip
    assert_equal_weights(weights_of(warm_epoch), weights_of(cold))


def test_runs_without_weights_and_unknown_runs_are_refused(stored_runs, tmp_path):
    forest = str(stored_runs / "20260101T000000Z_forest")
    with pytest.raises(UsageError, match="is of model estimator, which has no weights"):
        run(tmp_path, "torch", init_from__run=forest, **SMALL)
    with pytest.raises(UsageError, match="model estimator has no initial weights; remove init_from"):
        run(tmp_path, "sklearn", init_from__run=forest, model__name="estimator", model__estimator="GaussianNB")
    with pytest.raises(UsageError, match="no run 'nowhere'"):
        run(tmp_path, "torch", init_from__run="nowhere", **SMALL)
    assert not list(tmp_path.iterdir())


def test_damaged_weights_are_refused(runs):
    path = runs / "source" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(DataError, match="was altered"):
        run(runs, "torch", init_from__run="source", **SMALL)


def test_the_digest_is_over_the_weights_as_stored(runs):
    source = open_run(find_run("source", runs))
    assert weights_digest(source.weights()) == source.record.digests["weights"]
    assert RunDirectory(runs / "source").read_record().status == "finished"
