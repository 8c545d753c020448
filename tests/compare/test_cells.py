"""Stored cells, failures and repeated calls, with an executor that runs nothing."""

from __future__ import annotations

import json

import pytest

from mlcli.compare.cells import EXPERIMENT, LOG, CellStore, run_cell
from mlcli.compare.matrix import Cell
from mlcli.config.experiment import load_experiment


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
