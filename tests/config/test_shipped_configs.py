"""The shipped configurations are described in their files and can be planned on every engine they name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlcli.config.experiment import load_experiment, read_layers
from mlcli.config.schema import Adam, CnnModel, Lbfgs, LogisticModel, MlpModel, RmsProp
from mlcli.experiment.plan import make_plan

CONFIGS = Path(__file__).parents[2] / "configs"
SCHEMA_LINE = "# yaml-language-server: $schema=../mlcli/config/experiment.schema.json\n"
ENGINES = {
    "digits_mlp": ("torch", "keras", "sklearn"),
    "fashion_cnn": ("torch", "keras"),
    "fashion_logistic": ("sklearn", "torch", "keras"),
    "fashion_mlp": ("torch", "keras", "sklearn"),
    "iris_logistic": ("sklearn", "torch", "keras"),
    "mnist_mlp": ("torch", "keras"),
}
PAIRS = [(name, backend) for name, backends in ENGINES.items() for backend in backends]


def config_path(name):
    return CONFIGS / f"{name}.yaml"


def test_every_shipped_file_is_tested_here():
    assert sorted(path.stem for path in CONFIGS.iterdir()) == sorted(ENGINES)


@pytest.mark.parametrize("name", ENGINES)
def test_each_begins_with_its_schema_a_description_and_its_command(name):
    text = config_path(name).read_text()
    assert text.startswith(SCHEMA_LINE)
    description = text.removeprefix(SCHEMA_LINE)
    opening = re.match(r"# [A-Z].*\n(?:# .*\n)*#\n#   mlcli train (\S+) --backend (\w+)\n#\n# ", description)
    assert opening is not None
    assert opening.group(1) == name
    assert opening.group(2) in ENGINES[name]


@pytest.mark.parametrize("name", ENGINES)
def test_each_names_its_engines_and_no_engine_elsewhere(name):
    assert read_layers(config_path(name), {}).backends() == ENGINES[name]
    settings = re.sub(r"#.*", "", config_path(name).read_text().partition("\nbackends:")[0])
    assert not re.search(r"backend|sklearn|scikit|torch|keras", settings)


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_each_can_be_planned_on_every_engine_it_names(name, backend):
    plan = make_plan(load_experiment(config_path(name), flags={"backend": backend}, environ={}))
    assert (plan.backend, plan.config.backend) == (backend, backend)
    assert plan.info.name == name.partition("_")[0]
    assert plan.is_iterative is not (backend == "sklearn" and name.endswith("logistic"))


def test_iris_is_scikit_learns_default_on_its_own_samples():
    config = load_experiment(config_path("iris_logistic"), flags={"backend": "sklearn"}, environ={})
    assert isinstance(config.optimizer, Lbfgs)
    assert config.optimizer.max_iter == 1000
    assert 1 / (150 * config.optimizer.weight_decay) == pytest.approx(1, rel=1e-15)  # C
    assert (config.dataset.test, config.dataset.scaling) == ("train", "none")


def test_the_networks_match_their_names():
    mnist, mlp, cnn = (
        load_experiment(config_path(name), environ={}) for name in ("mnist_mlp", "fashion_mlp", "fashion_cnn")
    )
    assert (mnist.model, mnist.optimizer) == (MlpModel(hidden=(512,)), RmsProp(lr=1e-3))
    assert (mnist.training.batch_size, mnist.training.epochs) == (128, 5)
    assert (mlp.model, mlp.optimizer) == (MlpModel(hidden=(256, 256), output="softmax"), Adam(lr=1e-3))
    assert (mlp.training.batch_size, mlp.training.epochs) == (128, 10)
    assert mlp.dataset.validation is not None
    assert isinstance(cnn.model, CnnModel)
    assert cnn.training.epochs is not None
    assert cnn.training.epochs <= 10
    logistic = load_experiment(config_path("fashion_logistic"), environ={})
    assert (logistic.backend, logistic.model, logistic.optimizer) == ("sklearn", LogisticModel(), Lbfgs(max_iter=100))
