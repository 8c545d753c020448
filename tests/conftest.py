"""What every test stands on: nothing of the user's own folders is touched, and real image files where there are any."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

# Before numpy and torch are imported anywhere: threads that spin while idle slow everything down on a busy machine.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

pytest_plugins = [f"tests.fixtures.{name}" for name in ("checkpoints", "cli", "config", "cuda", "data")]

if TYPE_CHECKING:
    pass

_GIVEN_DATA_DIR = os.environ.get("MLCLI_TEST_DATA_DIR")
_BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "datasets"


@pytest.fixture(scope="session", autouse=True)
def _caches_of_the_session(tmp_path_factory):
    """Caches of the platform and of the frameworks go to a folder of the session; subprocesses inherit it."""
    caches = tmp_path_factory.mktemp("caches")
    os.environ["XDG_CACHE_HOME"] = str(caches)
    os.environ.pop("MLCLI_TEST_DATA_DIR", None)  # read above; mlcli refuses variables that it does not know
    os.environ["KERAS_HOME"] = str(caches / "keras")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch, tmp_path_factory):
    """No MLCLI_* variable of the user's shell, nor the size of his terminal, and an empty data directory."""
    for name in [name for name in os.environ if name.startswith("MLCLI_") or name in ("COLUMNS", "LINES")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path_factory.getbasetemp() / "empty-data"))


@pytest.fixture(autouse=True)
def _denormals_as_they_were():
    """Engines let the processor flush denormal numbers to zero; what runs later must not inherit that."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(scope="session")
def image_data_dir(tmp_path_factory):
    """A data directory with MNIST and Fashion-MNIST, prepared once a session.

    The files come from MLCLI_TEST_DATA_DIR, or from a folder shared/datasets beside the checkout.
    """
    source = Path(_GIVEN_DATA_DIR) if _GIVEN_DATA_DIR else _BESIDE_CHECKOUT
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

    Tests read it; those that damage a run copy it first.
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
    """A copy of the digits run, to be damaged."""
    return Path(shutil.copytree(stored_runs / "20260101T000000Z_digits", tmp_path / "copy"))
