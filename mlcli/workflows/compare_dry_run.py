"""What a matrix would do, and how long it would take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from mlcli.statistics.comparison import PlannedCell
from mlcli.statistics.medians import median
from mlcli.workflows.compare_cells import CellOutcome, CellRunner, FinishedRuns
from mlcli.workflows.compare_matrix import Cell


def plan_cells(cells: Sequence[Cell], runner: CellRunner, *, retry_failed: bool) -> list[PlannedCell]:
    """What would be done with each cell."""
    planned = []
    for cell in cells:
        outcome = runner.known(cell, retry_failed=retry_failed)
        if outcome is None:
            planned.append(PlannedCell(cell.label, cell.seed, "to run", _estimate(cell, runner.finished)))
        else:
            planned.append(PlannedCell(cell.label, cell.seed, _state(outcome), 0.0, outcome.reason))
    return planned


def _state(outcome: CellOutcome) -> Literal["finished", "failed", "cannot run"]:
    if outcome.finished:
        return "finished"
    return "cannot run" if outcome.cell.refusal else "failed"


def _estimate(cell: Cell, finished: FinishedRuns) -> float | None:
    """The median of the runs with the same engine, data and model, per epoch where there are epochs."""
    config = cell.config
    seconds = []
    for run in finished.all():
        record = run.record
        same = (record.backend, record.dataset, record.model) == (
            config.backend,
            config.dataset.name,
            config.model.name,
        )
        if same and record.timing:
            timing = record.timing
            training = timing.first_epoch_seconds + timing.remaining_epochs_seconds + timing.validate_seconds
            share = (config.training.epochs or 1) / (record.epochs or 1)
            seconds.append(timing.total_seconds + training * (share - 1))
    return median(seconds) if seconds else None
