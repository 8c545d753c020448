"""Stored cells, failures and repeated calls, with an executor that runs nothing."""

from __future__ import annotations

import json
import platform

import pytest

from mlcli.compare.cells import EXPERIMENT, LOG, CellStore, run_cell
from mlcli.compare.matrix import Cell
from mlcli.config.experiment import load_experiment
from mlcli.experiment.environment import package_versions
from mlcli.runs.directory import RunDirectory


class FakeExecutor:
    """Writes a log and returns an exit code."""

    n_slots = 1

    def __init__(self, code, log=""):
        self.code = code
        self.log = log
        self.folders = []

    def run(self, folder, lock, stopped):
        self.folders.append(folder)
        assert (folder / EXPERIMENT).is_file()
        (folder / LOG).write_text(self.log)
        return self.code

    def stop(self): ...


@pytest.fixture
def cell():
    return Cell("torch", load_experiment(None, environ={}), "d" * 64)


def _ended(tmp_path, cell, code, log=""):
    store = CellStore(tmp_path)
    return store, run_cell(cell, store, FakeExecutor(code, log))


@pytest.mark.parametrize(
    ("code", "name"),
    [(129, "SIGHUP"), (130, "SIGINT"), (143, "SIGTERM"), (-1, "SIGHUP"), (-9, "SIGKILL"), (-15, "SIGTERM")],
)
def test_an_interrupted_cell_is_not_stored_as_failed(tmp_path, cell, code, name):
    store, outcome = _ended(tmp_path, cell, code)
    assert outcome.reason == f"interrupted by {name}; the next call runs it again"
    assert not (store.folder(cell) / "failure.json").exists()
    assert CellStore(tmp_path).known_outcome(cell) is None


def test_a_failed_cell_is_known_with_its_reason_until_it_is_retried(tmp_path, cell):
    store, outcome = _ended(tmp_path, cell, 5, "epoch 1\nmlcli: out of memory: 3 GiB\nreduce the batch size\n")
    assert outcome.reason == "out of memory: 3 GiB; reduce the batch size"
    assert json.loads((store.folder(cell) / "failure.json").read_text())["exit_code"] == 5
    assert (
        store.known_outcome(cell).reason
        == f"{outcome.reason} (failed in an earlier call; --retry-failed runs it again)"
    )
    assert store.known_outcome(cell, retry_failed=True) is None
    _ended(tmp_path, cell, 143)
    assert store.known_outcome(cell) is None


def test_a_process_that_leaves_no_run_has_failed(tmp_path, cell):
    assert _ended(tmp_path, cell, 0)[1].reason == "it left no run"
    assert _ended(tmp_path, cell, 1)[1].reason.startswith("exit code 1, see ")


def test_a_stopped_executor_leaves_the_cell_to_the_next_call(tmp_path, cell):
    store, outcome = _ended(tmp_path, cell, None)
    assert outcome.reason == "not run: the comparison was interrupted"
    assert store.known_outcome(cell) is None


def test_a_refused_cell_is_known(tmp_path, cell):
    refused = Cell(cell.label, cell.config, refusal="not supported")
    assert CellStore(tmp_path).known_outcome(refused).reason == "not supported"


@pytest.fixture
def finished(tmp_path):
    """A finished cell, measured in the session "first" with the present versions of the libraries."""
    cell = Cell("sklearn", load_experiment(None, flags={"backend": "sklearn"}, environ={}), "d" * 64)
    directory = RunDirectory.create(cell.config, tmp_path)
    directory.write_config(cell.config)
    session = {"id": "first", "host": platform.node(), "n_parallel": 1}
    directory.write_environment({"packages": package_versions(), "session": session})
    store_record(directory, cell)
    return cell, directory


def store_record(directory, cell, **changes):
    """Write a record without a checksum, as earlier versions did."""
    (directory.path / "metrics.json").write_text(json.dumps(record_of(directory, cell) | changes))
    (directory.path / "manifest.json").write_text(json.dumps({"algorithm": "sha256", "files": {}}))


def record_of(directory, cell):
    names = {"run_id": directory.run_id, "name": "n", "dataset": "digits", "model": "mlp", "device": "cpu"}
    numbers = dict.fromkeys(("timing", "epochs", "best_epoch", "samples_per_second", "n_parameters"))
    return {
        **names, **numbers, "status": "finished", "backend": "sklearn", "seed": 0, "metrics": {}, "threads": 1,
        "peak_memory_bytes": None, "notes": [], "digests": {"experiment": cell.digest}, "mlcli_version": "0.1.0",
        "created": "2026-01-01T00:00:00+00:00", "error": None, "schema_version": 1,
    }  # fmt: skip


def test_a_finished_cell_is_reused(tmp_path, finished):
    cell, directory = finished
    store = CellStore(tmp_path)
    assert store.known_outcome(cell).run.directory.path == directory.path
    assert store.origin_notes([cell]) == []


def test_a_cell_of_other_versions_is_run_again_with_a_note(tmp_path, finished, monkeypatch):
    cell, _ = finished
    versions = {**package_versions(), "scikit-learn": "99.1", "torch": "99.2"}
    monkeypatch.setattr("mlcli.compare.cells.package_versions", lambda: versions)
    store = CellStore(tmp_path)
    assert store.known_outcome(cell) is None
    now = package_versions()["scikit-learn"]
    assert store.origin_notes([cell]) == [f"1 finished cells were computed by scikit-learn {now}, now 99.1: run again"]
    of_cluster = CellStore(tmp_path, any_versions=True)
    assert of_cluster.known_outcome(cell) is not None
    assert of_cluster.origin_notes([cell])[0].endswith("reused")


def test_a_newer_run_of_other_versions_does_not_hide_one_of_the_present_versions(tmp_path, finished):
    cell, older = finished
    newer = RunDirectory.create(cell.config, tmp_path)
    newer.write_config(cell.config)
    newer.write_environment({"packages": {**package_versions(), "scikit-learn": "99.1"}, "session": None})
    store_record(newer, cell, created="2026-01-02T00:00:00+00:00")
    store = CellStore(tmp_path)
    assert store.reusable_run(cell).directory.path == older.path
    assert store.origin_notes([cell]) == []


def test_a_cell_measured_on_another_machine_is_reused_with_a_note(tmp_path, finished, monkeypatch):
    cell, _ = finished
    host = platform.node()
    monkeypatch.setattr("platform.node", lambda: "elsewhere")
    store = CellStore(tmp_path)
    assert store.known_outcome(cell) is not None
    assert store.origin_notes([cell]) == [f"1 of the reused cells were measured on {host}"]


def test_retiming_reuses_only_what_was_measured_in_this_session(tmp_path, finished):
    cell, _ = finished
    assert CellStore(tmp_path, "second", retime=True).known_outcome(cell) is None
    assert CellStore(tmp_path, "first", retime=True).known_outcome(cell) is not None
