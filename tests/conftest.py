"""Fixtures of all tests: isolation from the folders and settings of the user, real image files, and stored runs."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Set before numpy and torch are imported: idle threads that spin slow all processes down on a busy machine.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

pytest_plugins = [
    f"tests.fixtures.{name}" for name in ("checkpoints", "cli", "config", "cuda", "data", "tables", "examples")
]

if TYPE_CHECKING:
    pass

_GIVEN_DATA_DIR = os.environ.get("MLCLI_TEST_DATA_DIR")
_SHARED_DATASETS = Path(__file__).resolve().parents[2] / "shared" / "datasets"


@pytest.fixture(scope="session", autouse=True)
def _redirect_caches(tmp_path_factory):
    """Redirect the caches of the platform and of the frameworks to a temporary folder, also in subprocesses."""
    caches = tmp_path_factory.mktemp("caches")
    os.environ["XDG_CACHE_HOME"] = str(caches)
    os.environ.pop("MLCLI_TEST_DATA_DIR", None)  # read above; mlcli refuses variables that it does not know
    os.environ["KERAS_HOME"] = str(caches / "keras")


@pytest.fixture(autouse=True)
def _isolate_from_user_settings(monkeypatch, tmp_path_factory):
    """Remove MLCLI_* variables and the terminal size from the environment, and set an empty data directory."""
    for name in [name for name in os.environ if name.startswith("MLCLI_") or name in ("COLUMNS", "LINES")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path_factory.getbasetemp() / "empty-data"))


@pytest.fixture(autouse=True)
def _restore_denormals():
    """Restore denormal numbers after each test, because engines make the processor flush them to zero."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def image_data_dir(tmp_path_factory):
    """A data directory with MNIST and Fashion-MNIST, prepared once per session.

    The files come from MLCLI_TEST_DATA_DIR, or from a folder shared/datasets next to the checkout.
    """
    source = Path(_GIVEN_DATA_DIR) if _GIVEN_DATA_DIR else _SHARED_DATASETS
    files = [path for folder in ("MNIST", "FashionMNIST") for path in sorted((source / folder / "raw").glob("*.gz"))]
    if len(files) != 8:
        pytest.skip(f"no MNIST and Fashion-MNIST files in {source}; name a folder with MLCLI_TEST_DATA_DIR")
    data_dir = tmp_path_factory.mktemp("images")
    for path in files:
        target = data_dir / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    _prepare(data_dir)
    return data_dir


def _prepare(data_dir):
    from mlcli.config.schema import DatasetConfig
    from mlcli.data.load import load_dataset

    for name in ("mnist", "fashion"):
        load_dataset(DatasetConfig(name=name), data_dir=data_dir, offline=True)


@pytest.fixture(scope="session")
def stored_runs(tmp_path_factory):
    """A runs directory with three finished runs: a torch mlp on digits, and a logistic regression and a forest on iris.

    Tests only read it. A test that changes a run copies it first.
    """
    from mlcli.config.schema import ExperimentConfig
    from mlcli.experiment.plan import make_plan
    from mlcli.train.report import QuietProgress
    from mlcli.train.trainer import RunPaths, train

    directory = tmp_path_factory.mktemp("stored-runs")
    forest = {"name": "estimator", "estimator": "RandomForestClassifier", "parameters": {"n_estimators": 10}}
    for settings in (
        {
            "name": "digits",
            "backend": "torch",
            "dataset": {"name": "digits", "validation": 0.2},
            "model": {"name": "mlp", "hidden": (32,), "dropout": 0.1},
            "training": {"epochs": 4, "batch_size": 32},
        },
        {"name": "iris", "backend": "sklearn", "dataset": {"name": "iris"}, "model": {"name": "logistic"}},
        {"name": "forest", "backend": "sklearn", "dataset": {"name": "iris"}, "model": forest},
    ):
        plan = make_plan(ExperimentConfig.model_validate(settings))
        places = RunPaths(directory, directory / f"20260101T000000Z_{settings['name']}")
        train(plan, places, 1, QuietProgress(show_notes=False))
    return directory


@pytest.fixture
def digits_run(stored_runs):
    from mlcli.experiment.stored_run import open_run
    from mlcli.runs.find import find_run

    return open_run(find_run("20260101T000000Z_digits", stored_runs))


@pytest.fixture
def iris_run(stored_runs):
    from mlcli.experiment.stored_run import open_run
    from mlcli.runs.find import find_run

    return open_run(find_run("20260101T000000Z_iris", stored_runs))


@pytest.fixture
def forest_run(stored_runs):
    from mlcli.experiment.stored_run import open_run
    from mlcli.runs.find import find_run

    return open_run(find_run("20260101T000000Z_forest", stored_runs))


@pytest.fixture
def digits_copy(stored_runs, tmp_path):
    """A copy of the digits run that a test may damage."""
    return Path(shutil.copytree(stored_runs / "20260101T000000Z_digits", tmp_path / "copy"))
