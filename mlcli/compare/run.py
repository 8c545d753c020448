"""Run a matrix: what is there already is reused, the rest is run round by round, and all of it is compared."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal, Protocol

from mlcli.compare.cells import CellOutcome, CellRunner, FinishedRuns
from mlcli.compare.comparison import compare_gathered
from mlcli.compare.matrix import Cell
from mlcli.compare.records import Comparison, MatrixCost, PlannedCell
from mlcli.compare.variants import GatheredRun, gathered
from mlcli.records import Timing


class MatrixObserver(Protocol):
    """Told of the cells as they come."""

    def on_matrix(self, n_cells: int, n_known: int) -> None:
        """The matrix is planned; n_known cells need not be run."""
        ...

    def on_start(self, label: str, seed: int) -> None:
        """A cell starts."""
        ...

    def on_end(self, label: str, seed: int, seconds: float | None, accuracy: float | None, reason: str | None) -> None:
        """A cell is over; reason: why it did not finish."""
        ...


@dataclass(frozen=True)
class MatrixOptions:
    """How the cells are run. jobs: cells side by side. gpus: CUDA devices, one for each cell at a time."""

    jobs: int = 1
    gpus: tuple[str, ...] = ()
    fail_fast: bool = False
    retry_failed: bool = False
    reference: str | None = None
    allow_different_data: bool = False


def run_matrix(
    cells: Sequence[Cell], runner: CellRunner, options: MatrixOptions, runs_directory: Path, observer: MatrixObserver
) -> Comparison:
    """Run the cells that are not there yet, in their order, and compare all.

    Failed cells are part of the comparison with their reasons. UsageError where finished cells cannot be compared.
    """
    start = time.perf_counter()
    known = {
        index: outcome
        for index, cell in enumerate(cells)
        if (outcome := runner.known(cell, retry_failed=options.retry_failed))
    }
    observer.on_matrix(len(cells), len(known))
    ran = _MatrixRun(cells, runner, options, observer).run([i for i in range(len(cells)) if i not in known])
    wall = time.perf_counter() - start
    outcomes = [known.get(index) or ran[index] for index in range(len(cells))]
    return compare_gathered(
        [_gathered(outcome, runs_directory, is_reused=index in known) for index, outcome in enumerate(outcomes)],
        reference=options.reference,
        allow_different_data=options.allow_different_data,
        cost=_cost(outcomes, wall, contended=options.jobs > 1),
    )


class _MatrixRun:
    def __init__(
        self, cells: Sequence[Cell], runner: CellRunner, options: MatrixOptions, observer: MatrixObserver
    ) -> None:
        self._cells = cells
        self._runner = runner
        self._options = options
        self._observer = observer
        self._devices: queue.SimpleQueue[str] = queue.SimpleQueue()
        for device in options.gpus:
            self._devices.put(device)
        self._has_failed = False

    def run(self, indices: Sequence[int]) -> dict[int, CellOutcome]:
        """The outcomes of these cells. Whatever ends the call early stops the processes first."""
        outcomes: dict[int, CellOutcome] = {}
        if not indices:
            return outcomes
        pool = ThreadPoolExecutor(max_workers=self._options.jobs)
        try:
            futures: dict[Future[CellOutcome], int] = {pool.submit(self._run_cell, index): index for index in indices}
            for future in as_completed(futures):
                outcomes[futures[future]] = future.result()
        except BaseException:
            self._has_failed = True
            self._runner.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown()
        return outcomes

    def _run_cell(self, index: int) -> CellOutcome:
        cell = self._cells[index]
        if self._has_failed:
            return CellOutcome(cell, None, "not run: a cell failed before it (--fail-fast)")
        device = self._devices.get() if self._options.gpus else None
        try:
            self._observer.on_start(cell.label, cell.seed)
            outcome = self._runner.run(cell, {"CUDA_VISIBLE_DEVICES": device} if device is not None else None)
        finally:
            if device is not None:
                self._devices.put(device)
        if outcome.finished is None and self._options.fail_fast:
            self._has_failed = True
        accuracy = outcome.finished.record.metrics["test"].accuracy if outcome.finished else None
        self._observer.on_end(cell.label, cell.seed, outcome.wall_seconds, accuracy, outcome.reason)
        return outcome


def _gathered(outcome: CellOutcome, runs_directory: Path, *, is_reused: bool) -> GatheredRun:
    if outcome.finished is None:
        return GatheredRun(outcome.cell.config, None, outcome.reason or "failed")
    return gathered(outcome.finished.directory, runs_directory, is_reused=is_reused)


def _cost(outcomes: Sequence[CellOutcome], wall: float, *, contended: bool) -> MatrixCost:
    ran = [
        (outcome.wall_seconds, _total(outcome.finished.record.timing))
        for outcome in outcomes
        if outcome.wall_seconds is not None and outcome.finished
    ]
    n_failed = sum(outcome.finished is None for outcome in outcomes)
    n_reused = sum(outcome.finished is not None and outcome.wall_seconds is None for outcome in outcomes)
    return MatrixCost(
        n_cells=len(outcomes),
        n_run=sum(outcome.wall_seconds is not None for outcome in outcomes),
        n_reused=n_reused,
        n_failed=n_failed,
        wall_seconds=wall,
        cells_seconds=sum(seconds for _, seconds in ran),
        starting_seconds=sum(whole - seconds for whole, seconds in ran),
        contended=contended,
    )


def _total(timing: Timing | None) -> float:
    return timing.total_seconds if timing else 0.0


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
