"""The wheel works far from a checkout, with the shipped configurations by name; the sdist has the documentation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
SOURCES = ("pyproject.toml", "MANIFEST.in", "LICENSE", *PAGES)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of the sources, because a build writes into their folder."""
    source = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copyfile(ROOT / name, source / name)
    for name in ("mlcli", "configs", "docs"):
        shutil.copytree(ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    return source


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """The folder into which the wheel of this checkout was unpacked."""
    wheels = tmp_path_factory.mktemp("wheels")
    build = ["pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", wheels]
    done = subprocess.run(
        [sys.executable, "-m", *build, "--disable-pip-version-check"], cwd=source, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.iterdir()
    folder = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def mlcli(installed, tmp_path):
    """Run the installed mlcli in an empty folder."""

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "mlcli", *map(str, arguments)],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(installed)},
            capture_output=True,
            text=True,
            timeout=120,
            stdin=subprocess.DEVNULL,
        )

    return run


def test_the_source_distribution_has_every_page(source, tmp_path):
    build = f"from setuptools import build_meta; build_meta.build_sdist({str(tmp_path)!r})"
    done = subprocess.run([sys.executable, "-c", build], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.iterdir()
    with tarfile.open(path) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert packed >= {*PAGES, *(f"docs/{page.name}" for page in (ROOT / "docs").iterdir())}


def test_the_shipped_configurations_are_installed(installed):
    shipped = {path.name: path.read_bytes() for path in (installed / "mlcli" / "config" / "experiments").iterdir()}
    assert shipped == {path.name: path.read_bytes() for path in (ROOT / "configs").iterdir()}


def test_a_configuration_is_trained_and_planned_by_its_name(mlcli, tmp_path):
    trained = mlcli("train", "digits_mlp", "--backend", "sklearn", "--epochs", 1, "--quiet")
    assert trained.returncode == 0, trained.stderr
    assert "test accuracy" in trained.stdout
    planned = mlcli("compare", "digits_mlp", "--backend", "sklearn", "--seeds", 2, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "to run" in planned.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_a_copied_configuration_takes_the_place_of_the_shipped_one(mlcli, tmp_path, installed):
    assert mlcli("config", "copy", "iris_logistic").stdout == "wrote iris_logistic.yaml\n"
    copy = tmp_path / "iris_logistic.yaml"
    schema = copy.read_text().splitlines()[0].partition("$schema=file://")[2]
    assert Path(schema) == installed / "mlcli" / "config" / "experiment.schema.json"
    copy.write_text(copy.read_text() + "seed: 5\n")
    assert "seed: 5\n" in mlcli("config", "show", "iris_logistic").stdout
    again = mlcli("config", "copy", "iris_logistic")
    assert (again.returncode, again.stdout) == (2, "")
    assert "exists already; add --force to replace it" in again.stderr
    assert mlcli("config", "copy", "iris_logistic", "--force").returncode == 0
    assert "seed: 0\n" in mlcli("config", "show", "iris_logistic").stdout
