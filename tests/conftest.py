"""What every test stands on: nothing of the user's own folders is touched, and real image files where there are any."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

# Before numpy and torch are imported anywhere: threads that spin while idle slow everything down on a busy machine.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import pytest

_GIVEN_DATA_DIR = os.environ.get("MLCLI_TEST_DATA_DIR")
_BESIDE_CHECKOUT = Path(__file__).resolve().parents[2] / "shared" / "datasets"


@pytest.fixture(scope="session", autouse=True)
def _caches_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Caches of the platform and of the frameworks go to a folder of the session; subprocesses inherit it."""
    caches = tmp_path_factory.mktemp("caches")
    os.environ["XDG_CACHE_HOME"] = str(caches)
    os.environ["KERAS_HOME"] = str(caches / "keras")


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No MLCLI_* variable of the user's shell, and an empty data directory."""
    for name in [name for name in os.environ if name.startswith("MLCLI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path_factory.getbasetemp() / "empty-data"))


@pytest.fixture(scope="session")
def image_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
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


def _prepare(data_dir: Path) -> None:
    from mlcli.config.schema import DatasetConfig
    from mlcli.data.load import load_dataset

    for name in ("mnist", "fashion"):
        load_dataset(DatasetConfig(name=name), data_dir=data_dir, offline=True)
