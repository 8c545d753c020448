"""The plan that `--dry-run` shows."""

from __future__ import annotations

from mlcli.config.schema import ExperimentConfig
from mlcli.experiment.plan import make_plan
from mlcli.train.report import describe_plan


def described(**settings):
    return describe_plan(make_plan(ExperimentConfig.model_validate(settings)), 1)


def test_iterative_training_is_described_by_its_epochs_and_steps():
    settings = described(backend="torch", training={"epochs": 3, "batch_size": 100})
    assert (settings["epochs"], settings["batch_size"], settings["steps_at_most"]) == (3, 100, 54)
    assert settings["learning_rate"] == 0.001


def test_a_single_fit_is_described_without_epochs():
    settings = described(backend="sklearn", model={"name": "logistic"})
    assert settings["fitted"] == "in a single fit"
    assert "epochs" not in settings
