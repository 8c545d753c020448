"""The progress of a matrix."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlcli.compare import progress as module
from mlcli.compare.cells import CellOutcome, FinishedRun
from mlcli.compare.matrix import Cell
from mlcli.compare.progress import MatrixProgress
from mlcli.config.experiment import load_experiment


@pytest.fixture
def cells():
    config = load_experiment(None, environ={})
    return [
        Cell(label, config.model_copy(update={"seed": seed}), f"{label}{seed}")
        for seed in range(2)
        for label in ("torch", "keras")
    ]


@pytest.fixture
def start(cells, monkeypatch):
    """Make the progress of the cells; its clock shows 100 seconds, then what the test sets."""
    clock = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    def make(console=None, estimate=None, n_slots=1):
        monkeypatch.setattr(module, "message_console", lambda: console or Console(file=io.StringIO()))
        return MatrixProgress(
            cells, 6, n_slots=n_slots, estimates=dict.fromkeys(("torch", "keras"), estimate), quiet=False
        ), clock

    return make


def finished(seconds):
    run = FinishedRun(None, type("Record", (), {"metrics": {}})())
    return CellOutcome(run, wall_seconds=seconds)


def test_the_time_left_is_that_of_finished_cells_of_the_same_variant(cells, start):
    progress, clock = start()
    assert progress.seconds_left() is None
    progress.started(cells[0])
    progress.ended(cells[0], finished(10.0))
    progress.started(cells[1])
    assert progress.seconds_left() == 30.0, "nothing is known of keras yet"
    progress.ended(cells[1], finished(40.0))
    progress.started(cells[2])
    clock[0] += 4.0
    assert progress.seconds_left() == 6.0 + 40.0
    clock[0] += 60.0
    assert progress.seconds_left() == 40.0


def test_earlier_runs_give_the_first_estimate_and_parallel_cells_share_the_time(start):
    progress, _ = start(estimate=8.0, n_slots=2)
    assert progress.seconds_left() == 4 * 8.0 / 2


def test_a_terminal_shows_the_running_cell_and_how_many_have_ended(cells, start):
    console = Console(file=io.StringIO(), force_terminal=True, width=100, color_system=None)
    progress, _ = start(console, estimate=8.0)
    with progress:
        progress.started(cells[0])
        progress.ended(cells[0], finished(10.0))
        progress.started(cells[1])
    text = console.file.getvalue()
    assert "[3/6]  torch  seed 0  10.0 s" in text
    assert "3/6 cells  running keras seed 0  0:00:26 left" in text


def test_a_pipe_has_one_line_per_cell(cells, start):
    console = Console(file=io.StringIO(), width=100)
    progress, _ = start(console, estimate=8.0)
    with progress:
        for cell in cells[:2]:
            progress.started(cell)
            progress.ended(cell, finished(10.0) if cell is cells[0] else CellOutcome(reason="out of memory"))
    assert console.file.getvalue().splitlines() == [
        "[3/6]  torch  seed 0  10.0 s", "[4/6]  keras  seed 0  out of memory",
    ]  # fmt: skip
