"""Settings from environment variables and from the command line."""

from __future__ import annotations

import pytest

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import Adam, EstimatorModel, ExperimentConfig, MlpModel, Sgd
from mlcli.errors import ConfigError


def test_flags_that_were_not_given_change_nothing(load):
    assert load("seed: 7\n", flags={"seed": None, "optimizer.lr": None}) == ExperimentConfig(backend="torch", seed=7)


def test_settings_are_read_as_yaml(load):
    settings = ["model.hidden=[64, 32]", "optimizer={name: sgd, lr: 1e-2}", "dataset.validation=test", "name='12'"]
    config = load("model: mlp\n", settings=settings)
    assert config.model == MlpModel(hidden=(64, 32))
    assert config.optimizer == Sgd(lr=0.01)
    assert (config.dataset.validation, config.name) == ("test", "12")


def test_null_resets_a_value(load):
    assert load("dataset: {limit: 5}\noptimizer: sgd\n", settings=["dataset.limit=null", "optimizer=null"]) == (
        ExperimentConfig(backend="torch")
    )


def test_one_command_line_is_one_layer_whatever_its_order(load):
    text = "optimizer: {name: rmsprop, decay: 0.8}\n"
    expected = Sgd(lr=0.3, momentum=0.5)
    assert (
        load(text, flags={"optimizer.lr": 0.3}, settings=["optimizer.momentum=0.5", "optimizer=sgd"]).optimizer
        == expected
    )
    assert (
        load(
            text,
            flags={"optimizer.name": "adam", "optimizer.lr": 0.3},
            settings=["optimizer.name=sgd", "optimizer.momentum=0.5"],
        ).optimizer
        == expected
    )


def test_environment_variables(load):
    environ = {
        "MLCLI_BACKEND": "keras",
        "MLCLI_DEVICE": "cuda:1",
        "MLCLI_THREADS": "3",
        "MLCLI_DATASET": "iris",
        "MLCLI_OPTIMIZER__LR": "1e-2",
        "MLCLI_MODEL__HIDDEN": "[8, 4]",
        "MLCLI_SEED": "",
        "MLCLI_DATA_DIR": "/data",
        "MLCLI_OFFLINE": "1",
        "MLCLI_RUNS_DIR": "runs",
        "MLCLI_DEBUG": "1",
        "HOME": "/root",
    }
    config = load("seed: 4\n", environ=environ)
    assert (config.backend, config.dataset.name, config.seed) == ("keras", "iris", 4)
    assert (config.runtime.device, config.runtime.threads) == ("cuda:1", 3)
    assert (config.optimizer, config.model) == (Adam(lr=0.01), MlpModel(hidden=(8, 4)))


def test_arguments_of_an_estimator_keep_their_case_in_the_environment(load):
    text = "model: {name: estimator, estimator: SVC}\n"
    assert load(text, environ={"MLCLI_MODEL__PARAMETERS__C": "2"}).model == EstimatorModel(
        estimator="SVC", parameters={"C": 2}
    )


def test_the_default_environment_is_that_of_the_process(monkeypatch):
    monkeypatch.setenv("MLCLI_SEED", "11")
    assert load_experiment(None).seed == 11


@pytest.mark.parametrize(
    ("flags", "issue"),
    [
        ({"optimizer.lr": float("nan")}, "--lr: numbers must be finite, got nan"),
        ({"seed": 2**70}, f"--seed: the number is too large (text belongs in quotes), got {2**70}"),
        ({"dataset.name": "\udcff"}, "--dataset: the text is not UTF-8, got '\\udcff'"),
        ({"training.batch_size": 0}, "--batch-size: must be at least 1, got 0"),
        ({"model.name": "\x1b[31m"}, "--model: unknown model '\\x1b[31m'; known: logistic, mlp, cnn, estimator"),
    ],
)
def test_flags_are_named_in_their_issues(flags, issue):
    with pytest.raises(ConfigError) as error:
        load_experiment(None, flags=flags, environ={})
    assert error.value.issues == (issue,)


def test_an_issue_is_reported_once():
    with pytest.raises(ConfigError) as error:
        load_experiment(None, settings=["nonsense", "nonsense"], environ={})
    assert len(error.value.issues) == 1


def test_issues_of_all_sources_are_reported_together(load):
    with pytest.raises(ConfigError) as error:
        load(
            "seed: -1\n",
            environ={"MLCLI_DEVICE": "gpu", "MLCLI_SEDE": "1", "MLCLI_LR": "1"},
            flags={"optimizer.lr": -1.0, "dataset.limit": 0},
            settings=["training.epoch=5", "nonsense", "name="],
        )
    assert list(error.value.issues) == [
        "x.yaml:1:7: seed: must be at least 0, got -1",
        "MLCLI_LR: unknown variable (did you mean 'MLCLI_OPTIMIZER__LR'?)",
        "MLCLI_SEDE: unknown variable (did you mean 'MLCLI_SEED'?)",
        "--set nonsense: must be key.path=value, e.g. --set optimizer.lr=0.01",
        "--set name=: the value is missing (write null for none)",
        "--limit: must be at least 1, got 0",
        "--lr: must be greater than 0, got -1.0",
        "--set training.epoch=5: unknown key (did you mean 'epochs'?)",
        "MLCLI_DEVICE: must be auto, cpu, cuda, cuda:N or mps, got 'gpu'",
    ]
