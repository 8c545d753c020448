"""Impossible experiments are refused without data or frameworks, with the possible alternatives."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError
from mlcli.experiment.plan import make_plan


def plan(**settings):
    return make_plan(ExperimentConfig.model_validate(settings))


def test_settings_that_depend_on_the_engine_are_filled_in():
    config = plan(backend="torch", model={"name": "mlp"}).config
    assert (config.training.epochs, config.training.batch_size) == (23, 32)
    assert config.optimizer.name == "adam"
    assert config.name == "digits_mlp"


def test_logistic_regression_of_scikit_learn_is_trained_in_a_single_fit():
    made = plan(backend="sklearn", model={"name": "logistic"})
    assert not made.is_iterative
    assert made.config.optimizer.name == "lbfgs"
    assert made.config.training.epochs is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"backend": "sklearn", "optimizer": {"name": "rmsprop"}}, "has sgd, adam; rmsprop runs with --backend torch"),
        ({"backend": "sklearn", "model": {"name": "cnn"}}, "cnn runs with --backend torch or keras"),
        ({"backend": "torch", "model": {"name": "estimator", "estimator": "SVC"}}, "runs with --backend sklearn"),
        ({"backend": "sklearn", "model": {"name": "mlp", "dropout": 0.5}}, "no dropout"),
        ({"backend": "sklearn", "model": {"name": "mlp", "activation": "gelu"}}, "relu, tanh, sigmoid"),
        ({"backend": "torch", "optimizer": {"name": "lbfgs"}}, "sgd, adam, adamw, rmsprop"),
        ({"backend": "sklearn", "model": {"name": "logistic"}, "training": {"epochs": 3}}, "fit, without epochs"),
        ({"backend": "sklearn", "model": {"name": "logistic"}, "schedule": {"name": "cosine"}}, "schedule"),
        ({"backend": "torch", "training": {"early_stopping": {}}}, "dataset.validation"),
        ({"backend": "torch", "dataset": {"name": "iris"}, "model": {"name": "cnn"}}, "needs images"),
        (
            {"backend": "sklearn", "model": {"name": "estimator", "estimator": "RandomForestClasifier"}},
            "did you mean 'RandomForestClassifier'",
        ),
        (
            {"backend": "sklearn", "model": {"name": "estimator", "estimator": "SVC", "parameters": {"gama": 1}}},
            "did you mean 'gamma'",
        ),
        (
            {"backend": "sklearn", "model": {"name": "estimator", "estimator": "SVC"}, "optimizer": {"name": "sgd"}},
            "has its solver built in",
        ),
    ],
)  # fmt: skip
def test_an_impossible_combination_is_refused_with_the_possible_ones(settings, message):
    with pytest.raises(UsageError) as caught:
        plan(**settings)
    assert message in str(caught.value)


def test_planning_imports_no_framework_and_no_numpy():
    code = (
        "import sys; from mlcli.experiment.plan import make_plan; from mlcli.config.schema import ExperimentConfig\n"
        "for backend in ('sklearn', 'torch', 'keras'): make_plan(ExperimentConfig(backend=backend))\n"
        "print([name for name in ('torch', 'keras', 'sklearn', 'pandas', 'numpy', 'scipy') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
