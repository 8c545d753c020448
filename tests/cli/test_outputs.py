"""Files are replaced only with --force, by every command that writes some."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mlcli.cli.app import app

IRIS, FOREST = "20260101T000000Z_iris", "20260101T000000Z_forest"
BENCH = ("batch-bench", IRIS, "--phase", "forward", "--sizes", "1")
WRITERS = {
    "compare": ("compare", IRIS, FOREST, "--output", "out/report.csv"),
    "compare plots": ("compare", IRIS, FOREST, "--save-plots", "out"),
    "evaluate": ("evaluate", IRIS, "--output", "out/report.csv"),
    "evaluate plots": ("evaluate", IRIS, "--save-plots", "out"),
    "batch-bench": (*BENCH, "--output", "out/report.csv"),
    "batch-bench plots": (*BENCH, "--save-plots", "out"),
    "predict": ("predict", IRIS, "--input", "x.csv", "--output", "out/report.csv"),
    "convert": ("convert", IRIS, "--to", "sklearn", "--output", "out/model.skops"),
    "data show": ("data", "show", "iris", "--save-plots", "out"),
    "config copy": ("config", "copy", "digits_mlp", "--output", "out/report.csv"),
}
# The others: see the tests of each command.
WITH_FORCE = ("compare", "compare plots", "evaluate", "evaluate plots", "data show", "config copy")


@pytest.fixture
def invoke(stored_runs, tmp_path, monkeypatch):
    """Run a command line in a folder `out` with files of all names that it may write; return its exception."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLCLI_RUNS_DIR", str(stored_runs))
    (tmp_path / "out").mkdir()
    for name in ("report.csv", "model.skops", "accuracy.png"):
        (tmp_path / "out" / name).write_text("mine")
    return lambda *words: CliRunner().invoke(app, words).exception


@pytest.mark.parametrize("command", WRITERS)
def test_existing_files_are_kept(command, invoke, tmp_path):
    error = invoke(*WRITERS[command])
    assert "add --force to replace" in str(error)
    assert {path.read_text() for path in (tmp_path / "out").iterdir()} == {"mine"}


@pytest.mark.parametrize("command", WITH_FORCE)
def test_force_replaces_them(command, invoke, tmp_path):
    assert invoke(*WRITERS[command], "--force") is None
    assert any(path.read_bytes() != b"mine" for path in (tmp_path / "out").iterdir())
