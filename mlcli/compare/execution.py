"""Run the cells of a matrix that have no finished run yet, in parallel if asked for, and show progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from secrets import token_hex
from statistics import median

from mlcli.compare import CompareRequest
from mlcli.compare.cells import CellOutcome, CellStore, Executor, FinishedRun, run_cell
from mlcli.compare.executors import LocalProcesses, RayTasks, visible_gpus
from mlcli.compare.matrix import Cell, running_order
from mlcli.compare.progress import MatrixProgress
from mlcli.compare.records import CellState, MatrixCost, MeasuredRun, PlannedCell, RunResult
from mlcli.compare.variants import measure
from mlcli.experiment.stored_run import open_run
from mlcli.experiment.threads import available_cores
from mlcli.records import RunRecord
from mlcli.rendering.console import print_notes

_EXECUTORS: dict[str, Callable[[CompareRequest, Path, str], Executor]] = {"local": LocalProcesses, "ray": RayTasks}


def with_threads(request: CompareRequest) -> CompareRequest:
    """Return the request with the number of parallel cells and the threads of each, as its options determine them.

    Parallel cells share the cores, and a task of Ray takes one core by default. threads stays None for cells that run
    one after another: their configuration decides.
    """
    n_jobs = len(visible_gpus()) if request.gpus and request.executor == "local" else request.jobs
    threads = request.threads
    if threads is None and request.executor == "ray":
        threads = 1
    elif threads is None and n_jobs > 1:
        threads = max(1, available_cores() // n_jobs)
    return replace(request, jobs=n_jobs, threads=threads)


def plan_cells(cells: Sequence[Cell], request: CompareRequest, runs_directory: Path) -> list[PlannedCell]:
    """Return what would be done with each cell, and how long it would take."""
    store = _store(request, runs_directory, session="")
    planned = []
    for cell in cells:
        known = store.known_outcome(cell, retry_failed=request.retry_failed)
        if known is None:
            seconds = _estimated_seconds(cell, store.similar_records(cell))
            planned.append(_planned(cell, "to run", seconds))
        elif known.reason is None:
            planned.append(_planned(cell, "finished", 0.0))
        else:
            planned.append(_planned(cell, "cannot run" if cell.refusal else "failed", 0.0, known.reason))
    return planned


def _planned(cell: Cell, state: CellState, seconds: float | None, reason: str | None = None) -> PlannedCell:
    return PlannedCell(cell.label, *cell.draw, state, seconds, reason)


def _estimated_seconds(cell: Cell, records: Sequence[RunRecord]) -> float | None:
    """Return the median over similar runs, scaled to the epochs of the cell."""
    seconds = []
    for record in records:
        if timing := record.timing:
            training = timing.first_epoch_seconds + timing.remaining_epochs_seconds + timing.validate_seconds
            ratio = (cell.config.training.epochs or 1) / (record.epochs or 1)
            seconds.append(timing.total_seconds + training * (ratio - 1))
    return median(seconds) if seconds else None


def run_cells(
    cells: Sequence[Cell], request: CompareRequest, runs_directory: Path
) -> tuple[list[RunResult], MatrixCost]:
    """Run the cells that need to run, in their order; return the result of every cell, and what they cost.

    The result of a failed cell has the reason. DataError if a file of a finished run is missing or altered.
    """
    session = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{token_hex(3)}"
    executor = _EXECUTORS[request.executor](request, runs_directory, session)
    store = _store(request, runs_directory, session)
    start = time.perf_counter()
    known = [store.known_outcome(cell, retry_failed=request.retry_failed) for cell in cells]
    n_reused = sum(outcome is not None and outcome.run is not None for outcome in known)
    if not request.quiet:
        reused = [f"{n_reused} of {len(cells)} cells already finished, reused"] if n_reused else []
        print_notes([*reused, *store.origin_notes(cells)])
    order = [index for index in running_order(cells, Random(session)) if known[index] is None]
    to_run = [cells[index] for index in order]
    by_label = {cell.label: cell for cell in to_run}
    estimates = {label: _estimated_seconds(cell, store.similar_records(cell)) for label, cell in by_label.items()}
    with MatrixProgress(
        to_run, len(cells), n_slots=executor.n_slots, estimates=estimates, quiet=request.quiet
    ) as progress:
        pool = _CellPool(store, executor, progress, fail_fast=request.fail_fast)
        ran = dict(zip(order, pool.run(to_run), strict=True))
    outcomes = [outcome or ran[index] for index, outcome in enumerate(known)]
    wall_seconds = time.perf_counter() - start
    results = [
        RunResult(cell.config, _measured(outcome.run, request.metric, is_reused=before is not None), outcome.reason)
        for cell, outcome, before in zip(cells, outcomes, known, strict=True)
    ]
    return results, _cost(outcomes, wall_seconds, contended=executor.n_slots > 1)


def _store(request: CompareRequest, runs_directory: Path, session: str) -> CellStore:
    # The versions on the nodes of a cluster are not known here.
    return CellStore(runs_directory, session, retime=request.retime, any_versions=request.executor == "ray")


def _measured(run: FinishedRun | None, metric: str, *, is_reused: bool) -> MeasuredRun | None:
    return measure(open_run(run.directory, run.record), metric, is_reused=is_reused) if run else None


class _CellPool:
    """Runs cells in parallel threads, each of which waits for a process."""

    def __init__(self, store: CellStore, executor: Executor, progress: MatrixProgress, *, fail_fast: bool) -> None:
        self._store = store
        self._executor = executor
        self._progress = progress
        self._fail_fast = fail_fast
        self._must_stop = False

    def run(self, cells: Sequence[Cell]) -> list[CellOutcome]:
        """Return the outcomes of the cells, which start in their order. An exception stops all processes first."""
        pool = ThreadPoolExecutor(max_workers=self._executor.n_slots)
        try:
            futures = {pool.submit(self._run_cell, cell): cell for cell in cells}
            for future in as_completed(futures):
                if outcome := future.result():
                    self._progress.ended(futures[future], outcome)
        except BaseException:
            self._must_stop = True
            self._executor.stop()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        pool.shutdown()
        skipped = CellOutcome(reason="not run: an earlier cell failed (--fail-fast)")
        return [future.result() or skipped for future in futures]

    def _run_cell(self, cell: Cell) -> CellOutcome | None:
        """Return how the cell ended; None if it was not started because another one had failed."""
        if self._must_stop:
            return None
        self._progress.started(cell)
        outcome = run_cell(cell, self._store, self._executor)
        if outcome.reason and self._fail_fast:
            self._must_stop = True
        return outcome


def _cost(outcomes: Sequence[CellOutcome], wall_seconds: float, *, contended: bool) -> MatrixCost:
    started = [outcome for outcome in outcomes if outcome.wall_seconds is not None]
    ran = [(outcome.wall_seconds or 0.0, outcome.run.record.timing) for outcome in started if outcome.run]
    cells_seconds = sum(timing.total_seconds for _, timing in ran if timing)
    return MatrixCost(
        n_cells=len(outcomes),
        n_run=len(started),
        n_reused=sum(outcome.run is not None and outcome.wall_seconds is None for outcome in outcomes),
        n_failed=sum(outcome.reason is not None for outcome in outcomes),
        wall_seconds=wall_seconds,
        cells_seconds=cells_seconds,
        starting_seconds=sum(lifetime for lifetime, _ in ran) - cells_seconds,
        contended=contended,
    )
