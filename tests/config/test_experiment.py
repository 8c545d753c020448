"""Which layer wins, how sections merge, and how the engine is chosen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlcli.config.dump import to_yaml
from mlcli.config.experiment import load_experiment, named_backends
from mlcli.config.schema import (
    Adam,
    CnnModel,
    CosineSchedule,
    EstimatorModel,
    ExperimentConfig,
    Lbfgs,
    LogisticModel,
    MlpModel,
    RmsProp,
    Sgd,
    TrainingConfig,
)
from mlcli.errors import ConfigError


def test_without_anything_there_are_the_defaults() -> None:
    assert load_experiment(None, environ={}) == ExperimentConfig(backend="torch")


def test_shorthands_stand_for_names(load) -> None:
    config = load("dataset: fashion\nmodel: cnn\noptimizer: sgd\nschedule: cosine\n")
    assert config.dataset.name == "fashion"
    assert (config.model, config.optimizer, config.schedule) == (CnnModel(), Sgd(), CosineSchedule())


def test_each_layer_wins_over_the_one_below(load) -> None:
    text = "seed: 1\nbackends: {torch: {seed: 2}}\n"
    layers = [
        ("seed: 1\n", {}, {}, (), 1),
        (text, {}, {}, (), 2),
        (text, {"MLCLI_SEED": "3"}, {}, (), 3),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, (), 4),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, ("seed=5",), 5),
        (text, {"MLCLI_SEED": "3"}, {"seed": 4}, ("seed=5", "seed=6"), 6),
    ]
    for yaml, environ, flags, settings, seed in layers:
        assert load(yaml, environ=environ, flags=flags, settings=settings).seed == seed


def test_flags_that_were_not_given_change_nothing(load) -> None:
    assert load("seed: 7\n", flags={"seed": None, "optimizer.lr": None}) == ExperimentConfig(backend="torch", seed=7)


def test_settings_are_read_as_yaml(load) -> None:
    settings = ["model.hidden=[64, 32]", "optimizer={name: sgd, lr: 1e-2}", "dataset.validation=test", "name='12'"]
    config = load("model: mlp\n", settings=settings)
    assert config.model == MlpModel(hidden=(64, 32))
    assert config.optimizer == Sgd(lr=0.01)
    assert (config.dataset.validation, config.name) == ("test", "12")


def test_a_setting_of_null_takes_a_value_back(load) -> None:
    assert load("dataset: {limit: 5}\noptimizer: sgd\n", settings=["dataset.limit=null", "optimizer=null"]) == (
        ExperimentConfig(backend="torch")
    )


def test_mappings_merge_deeply(load) -> None:
    config = load(
        "training: {epochs: 3, early_stopping: {patience: 2}}\n", settings=["training.early_stopping.min_delta=0.5"]
    )
    assert config.training.epochs == 3
    assert config.training.early_stopping is not None
    assert (config.training.early_stopping.patience, config.training.early_stopping.min_delta) == (2, 0.5)


def test_another_optimizer_replaces_the_one_below_whole(load) -> None:
    text = "optimizer: {name: rmsprop, decay: 0.8, lr: 0.5}\n"
    assert load(text, flags={"optimizer.name": "sgd"}).optimizer == Sgd()
    assert load(text, flags={"optimizer.name": "sgd", "optimizer.lr": 0.3}).optimizer == Sgd(lr=0.3)
    assert load(text, flags={"optimizer.name": "rmsprop"}).optimizer == RmsProp(decay=0.8, lr=0.5)
    assert load(text, flags={"optimizer.lr": 0.3}).optimizer == RmsProp(decay=0.8, lr=0.3)


def test_one_command_line_is_one_layer_whatever_its_order(load) -> None:
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


def test_another_model_or_schedule_replaces_the_one_below_even_if_that_has_no_name(load) -> None:
    text = "model: {hidden: [8]}\nschedule: {name: step, factor: 0.5}\n"
    config = load(text, flags={"model.name": "cnn"}, settings=["schedule=cosine"])
    assert (config.model, config.schedule) == (CnnModel(), CosineSchedule())
    assert load(text, flags={"model.name": "mlp"}).model == MlpModel(hidden=(8,))


def test_another_estimator_drops_the_parameters_of_the_one_below(load) -> None:
    text = "model: {name: estimator, estimator: SVC, parameters: {C: 2}}\n"
    assert load(text, settings=["model.estimator=KNeighborsClassifier"]).model == (
        EstimatorModel(estimator="KNeighborsClassifier")
    )
    assert load(text, settings=["model.parameters.gamma=1"]).model == (
        EstimatorModel(estimator="SVC", parameters={"C": 2, "gamma": 1})
    )


def test_another_dataset_keeps_splits_scaling_and_limit(load) -> None:
    dataset = load("dataset: {name: mnist, validation: 0.1, limit: 50}\n", flags={"dataset.name": "fashion"}).dataset
    assert (dataset.name, dataset.validation, dataset.limit) == ("fashion", 0.1, 50)


def test_settings_without_a_name_belong_to_the_default_of_the_engine(load) -> None:
    assert load("optimizer: {lr: 0.5}\n").optimizer == Adam(lr=0.5)
    assert load("model: logistic\noptimizer: {max_iter: 5}\nbackend: sklearn\n").optimizer == Lbfgs(max_iter=5)


BACKENDS = """
model: logistic
backends:
  sklearn: {optimizer: {name: lbfgs, max_iter: 7}}
  keras: {optimizer: {name: sgd, lr: 0.5}, training: {epochs: 3}}
  torch:
"""


def test_the_engine_of_flag_environment_file_and_backends_in_this_order(load) -> None:
    assert load("seed: 1\n").backend == "torch"
    assert load(BACKENDS).backend == "sklearn"
    assert load(BACKENDS + "backend: keras\n").backend == "keras"
    assert load(BACKENDS + "backend: keras\n", environ={"MLCLI_BACKEND": "torch"}).backend == "torch"
    assert load(BACKENDS, environ={"MLCLI_BACKEND": "torch"}, flags={"backend": "keras"}).backend == "keras"
    assert load(BACKENDS, flags={"backend": "keras"}, settings=["backend=torch"]).backend == "torch"


def test_the_entry_of_the_engine_is_merged_and_the_result_stands_alone(load) -> None:
    config = load(BACKENDS, flags={"backend": "keras", "optimizer.lr": 0.25})
    assert config == ExperimentConfig(
        backend="keras", model=LogisticModel(), optimizer=Sgd(lr=0.25), training=TrainingConfig(epochs=3)
    )
    assert config.backends == {}
    assert load(BACKENDS, flags={"backend": "torch"}).optimizer is None


def test_an_engine_without_an_entry_runs_on_the_common_settings(load) -> None:
    assert load("backends: {keras: {seed: 5}}\nseed: 1\n", flags={"backend": "torch"}).seed == 1


def test_entries_can_be_set_from_the_command_line(load) -> None:
    settings = ["backends.keras.optimizer=adam"]
    assert load(BACKENDS, flags={"backend": "keras"}, settings=settings).optimizer == Adam()


def test_named_backends_in_the_order_of_the_file(load) -> None:
    load(BACKENDS)
    assert named_backends(Path("x.yaml")) == ("sklearn", "keras", "torch")
    load("backend: keras\n")
    assert named_backends(Path("x.yaml")) == ("keras",)


def test_environment_variables(load) -> None:
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


def test_arguments_of_an_estimator_keep_their_case_in_the_environment(load) -> None:
    text = "model: {name: estimator, estimator: SVC}\n"
    assert load(text, environ={"MLCLI_MODEL__PARAMETERS__C": "2"}).model == EstimatorModel(
        estimator="SVC", parameters={"C": 2}
    )


def test_the_environment_of_the_process_counts_where_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCLI_SEED", "11")
    assert load_experiment(None).seed == 11


def test_a_resolved_configuration_can_be_hashed_and_not_changed(load) -> None:
    text = "model: {name: estimator, estimator: SVC, parameters: {class_weight: {0: 1.0}, a: [1]}}\n"
    config = load(text)
    assert len({config, load(text)}) == 1
    with pytest.raises(ValueError, match="frozen"):
        config.seed = 1
    assert isinstance(config.model, EstimatorModel)
    with pytest.raises(TypeError, match="cannot change"):
        config.model.parameters["a"] = 2


def test_what_was_resolved_loads_again_to_the_same(load) -> None:
    config = load(
        BACKENDS, flags={"backend": "keras"}, settings=["name=a1e5", "optimizer.lr=1e-7", "runtime.threads=2"]
    )
    assert load(to_yaml(config)) == config


def test_loading_a_configuration_imports_no_numpy() -> None:
    code = (
        "import sys; from mlcli.config.dump import to_yaml; from mlcli.config.experiment import load_experiment; "
        "to_yaml(load_experiment(None, environ={})); "
        "print([name for name in ('numpy', 'torch', 'sklearn', 'keras', 'typer', 'rich') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("flags", "issue"),
    [
        ({"optimizer.lr": float("nan")}, "--lr: numbers must be finite, got nan"),
        ({"seed": 2**70}, f"--seed: the number is too large (text belongs in quotes), got {2**70}"),
        ({"dataset.name": "\udcff"}, "--dataset: the text is not UTF-8, got '\\udcff'"),
        ({"training.batch_size": 0}, "--batch-size: must be at least 1, got 0"),
        (
            {"model.name": "\x1b[31m"},
            "--model: unknown model '\\x1b[31m'; known: logistic, mlp, cnn, estimator",
        ),
    ],
)
def test_flags_are_named_in_their_faults(flags: dict[str, object], issue: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_experiment(None, flags=flags, environ={})
    assert error.value.issues == (issue,)


def test_the_same_fault_is_told_once() -> None:
    with pytest.raises(ConfigError) as error:
        load_experiment(None, settings=["nonsense", "nonsense"], environ={})
    assert len(error.value.issues) == 1


def test_faults_of_all_sources_come_together(load) -> None:
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
