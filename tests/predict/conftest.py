from __future__ import annotations

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.runs.directory import RunDirectory
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train
from tests.fixtures.tables import PENGUINS


@pytest.fixture(scope="session")
def penguins_run(tmp_path_factory):
    """A logistic regression on the penguins, by scikit-learn."""
    settings = {
        "backend": "sklearn",
        "dataset": {"path": str(PENGUINS), "target": "species", "columns": {"year": "ignore"}},
        "model": {"name": "logistic"},
    }
    directory = tmp_path_factory.mktemp("runs")
    plan = make_plan(ExperimentConfig.model_validate(settings))
    train(plan, RunPaths(directory, directory / "run"), 1, QuietProgress(show_notes=False))
    return open_run(RunDirectory(directory / "run"))
