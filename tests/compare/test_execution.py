"""Threads of parallel cells; and interrupted cells, which the next call resumes from their checkpoints."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.execution import with_threads
from mlcli.config.experiment import load_experiment
from mlcli.errors import UsageError
from mlcli.experiment.plan import make_plan
from mlcli.runs.directory import RunDirectory
from mlcli.train.checkpointing import CheckpointEvery
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train
from tests.fixtures.warm import warm_mlcli

CONFIG = Path(__file__).resolve().parents[2] / "configs" / "digits_mlp.yaml"
SETTINGS = ["training.epochs=6"]


@pytest.mark.parametrize(
    ("request_", "threads"),
    [
        (CompareRequest(), None),
        (CompareRequest(jobs=2), 3),
        (CompareRequest(jobs=9), 1),
        (CompareRequest(jobs=2, threads=5), 5),
        (CompareRequest(executor="ray"), 1),
    ],
)
def test_parallel_cells_share_the_cores_unless_threads_are_given(request_, threads, monkeypatch):
    monkeypatch.setattr("mlcli.compare.execution.available_cores", lambda: 6)
    assert with_threads(request_).threads == threads


def test_gpus_decide_how_many_cells_run_in_parallel(monkeypatch):
    monkeypatch.setattr("mlcli.compare.execution.available_cores", lambda: 6)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,3")
    prepared = with_threads(CompareRequest(gpus=True))
    assert (prepared.jobs, prepared.threads) == (2, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    with pytest.raises(UsageError, match="no CUDA device"):
        with_threads(CompareRequest(gpus=True))


class Stopped(BaseException):
    """An exception that interrupts training as a signal does."""


class Observer(QuietProgress):
    def on_epoch(self, record, n_epochs):
        if record.epoch == 4:
            raise Stopped


def stop_a_run(runs, seed=0, **options):
    """Return a run of the cell with this seed, interrupted after its fourth epoch."""
    config = load_experiment(CONFIG, flags={"backend": "sklearn", "seed": seed}, settings=SETTINGS)
    before = set(runs.iterdir()) if runs.is_dir() else set()
    with pytest.raises(Stopped):
        train(make_plan(config), RunPaths(runs), 2, Observer(), every=CheckpointEvery("epochs"), **options)
    (path,) = set(runs.iterdir()) - before
    return path


def compare(runs):
    arguments = ["compare", str(CONFIG), "--backend", "sklearn", "--seeds", "2", "--set", *SETTINGS]
    process = subprocess.run(
        [warm_mlcli(), *arguments, "--runs-dir", str(runs), "--format", "json", "--quiet"],
        capture_output=True, text=True, timeout=120, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def scores(document):
    return [[run["seed"], run["accuracy"], run["loss"]] for run in document["variants"][0]["runs"]]


def runs_in(runs):
    return sorted(path for path in runs.iterdir() if (path / "config.yaml").is_file())


def test_an_interrupted_cell_is_resumed_in_its_directory_with_the_same_result(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCLI_SESSION", "earlier:1")
    stopped = stop_a_run(tmp_path / "runs")
    assert RunDirectory(stopped).read_environment()["session"]["id"] == "earlier"
    document = compare(tmp_path / "runs")
    assert len(runs_in(tmp_path / "runs")) == 2
    record = RunDirectory(stopped).read_record()
    assert record.status == "finished"
    assert "resumed from the checkpoint after epoch 3" in record.notes
    assert RunDirectory(stopped).read_environment()["session"] is None, "its times are not those of one session"
    assert scores(document) == scores(compare(tmp_path / "undisturbed"))


def test_a_run_that_failed_or_has_no_checkpoint_is_not_resumed(tmp_path):
    failed, bare = stop_a_run(tmp_path / "runs"), stop_a_run(tmp_path / "runs", seed=1)
    directory = RunDirectory(failed)
    directory.finish(replace(directory.read_record(), status="failed"))
    for path in (bare / "checkpoint").glob("*.safetensors"):
        path.unlink()
    compare(tmp_path / "runs")
    assert len(runs_in(tmp_path / "runs")) == 4
    assert [RunDirectory(path).read_record().status for path in (failed, bare)] == ["failed", "interrupted"]
