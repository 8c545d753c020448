"""A cell of a matrix that was stopped goes on from its checkpoint when the comparison is called again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mlcli.config.experiment import load_experiment
from mlcli.experiment.plan import make_plan
from mlcli.runs.directory import RunDirectory
from mlcli.train.checkpointing import CheckpointEvery
from mlcli.train.progress import QuietProgress
from mlcli.train.trainer import RunPaths, train

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "digits_mlp.yaml"
SETTINGS = ["training.epochs=6"]


class Stopped(BaseException):
    """What a signal would raise."""


class Observer(QuietProgress):
    def on_epoch(self, record, n_epochs):
        if record.epoch == 4:
            raise Stopped


def stop_a_run(runs: Path, seed: int = 0, **options) -> Path:
    """A run of the cell with this seed, stopped when its fourth epoch was told."""
    config = load_experiment(CONFIG, flags={"backend": "sklearn", "seed": seed}, settings=SETTINGS)
    before = set(runs.iterdir()) if runs.is_dir() else set()
    with pytest.raises(Stopped):
        train(make_plan(config), RunPaths(runs), 2, Observer(), every=CheckpointEvery("epochs"), **options)
    (path,) = set(runs.iterdir()) - before
    return path


def compare(runs: Path) -> dict:
    words = ["compare", str(CONFIG), "--backends", "sklearn", "--seeds", "2", "--set", *SETTINGS]
    process = subprocess.run(
        [sys.executable, "-m", "mlcli", *words, "--runs-dir", str(runs), "--format", "json", "--quiet"],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def scores(document: dict) -> list:
    return [[run["seed"], run["accuracy"], run["loss"]] for run in document["variants"][0]["runs"]]


def runs_in(runs: Path) -> list[Path]:
    return sorted(path for path in runs.iterdir() if (path / "config.yaml").is_file())


def test_the_cell_goes_on_in_its_own_directory_and_the_result_is_the_same(tmp_path):
    stopped = stop_a_run(tmp_path / "runs")
    document = compare(tmp_path / "runs")
    assert len(runs_in(tmp_path / "runs")) == 2
    record = RunDirectory(stopped).read_record()
    assert record.status == "finished"
    assert "resumed from the checkpoint after epoch 3" in record.notes
    assert scores(document) == scores(compare(tmp_path / "undisturbed"))


def test_a_run_that_ended_by_itself_or_lost_its_checkpoints_is_left_alone(tmp_path):
    failed, bare = stop_a_run(tmp_path / "runs"), stop_a_run(tmp_path / "runs", seed=1)
    metrics = failed / "metrics.json"
    metrics.write_text(metrics.read_text().replace('"interrupted"', '"failed"'))
    for path in (bare / "checkpoint").glob("*.safetensors"):
        path.unlink()
    compare(tmp_path / "runs")
    assert len(runs_in(tmp_path / "runs")) == 4
    assert [RunDirectory(path).read_record().status for path in (failed, bare)] == ["failed", "interrupted"]
