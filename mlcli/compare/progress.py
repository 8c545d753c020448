"""The progress of a matrix: a line per cell that ends, and on a terminal the running cells and the time left."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from statistics import median
from typing import Self

from rich.progress import Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from mlcli.compare.cells import CellOutcome
from mlcli.compare.matrix import Cell
from mlcli.rendering.console import escape, message_console


class MatrixProgress:
    """Shows which cells run and have ended. Cells may start in any thread.

    n_cells: how many there are, with those that need not run. n_slots: how many run at a time. estimates: the seconds
    of a cell by label, from earlier runs; None where there are none.
    """

    def __init__(
        self, to_run: Sequence[Cell], n_cells: int, *, n_slots: int, estimates: Mapping[str, float | None], quiet: bool
    ) -> None:
        self._n_ended, self._n_cells, self._n_slots = n_cells - len(to_run), n_cells, n_slots
        self._estimates = estimates
        self._is_quiet = quiet
        self._waiting = list(to_run)
        self._running: dict[int, tuple[Cell, float]] = {}  # by identity, with the time of the start
        self._seconds: dict[str, list[float]] = {}  # of the cells that ran, by label
        self._lock = threading.Lock()
        self._console = message_console()
        is_hidden = quiet or not self._console.is_interactive or not to_run
        columns = (TextColumn("{task.description}"), _Left(self))
        self._line = Progress(*columns, console=self._console, transient=True, disable=is_hidden)
        self._task = self._line.add_task("", total=None)

    def __enter__(self) -> Self:
        self._line.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.stop()

    def started(self, cell: Cell) -> None:
        """Show that a cell runs."""
        with self._lock:
            self._waiting.remove(cell)
            self._running[id(cell)] = (cell, time.monotonic())
            self._describe()

    def ended(self, cell: Cell, outcome: CellOutcome) -> None:
        """Print the outcome of a cell."""
        with self._lock:
            self._running.pop(id(cell), None)
            self._n_ended += 1
            if outcome.run and outcome.wall_seconds is not None:
                self._seconds.setdefault(cell.label, []).append(outcome.wall_seconds)
            self._describe()
        if not self._is_quiet:
            self._line.console.print(self._row(cell, outcome))

    def _describe(self) -> None:
        cells = ", ".join(f"{cell.label} {cell.draw}" for cell, _ in self._running.values())
        text = f"{self._n_ended}/{self._n_cells} cells  running {cells}"
        self._line.update(self._task, description=escape(text))

    def _row(self, cell: Cell, outcome: CellOutcome) -> str:
        parts = [f"[{self._n_ended}/{self._n_cells}]", cell.label, str(cell.draw)]
        test = outcome.run.record.metrics.get("test") if outcome.run else None
        parts += [f"accuracy {test.accuracy:.4f}"] if test else []
        parts += [f"{outcome.wall_seconds:.1f} s"] if outcome.wall_seconds is not None else []
        reason = f"  [red]{escape(outcome.reason)}[/red]" if outcome.reason else ""
        return escape("  ".join(parts)) + reason

    def seconds_left(self) -> float | None:
        """Return the estimated seconds until all cells have ended; None if nothing is known of some of them.

        A cell is expected to take the median of the finished cells of its variant, else what earlier runs of its kind
        took, else the median of all finished cells.
        """
        with self._lock:
            running, now = list(self._running.values()), time.monotonic()
            expected = [self._expected(cell) for cell in self._waiting]
            expected += [self._expected(cell, now - start) for cell, start in running]
        known = [seconds for seconds in expected if seconds is not None]
        return sum(known) / self._n_slots if len(known) == len(expected) else None

    def _expected(self, cell: Cell, elapsed: float = 0.0) -> float | None:
        measured = self._seconds.get(cell.label)
        seconds = median(measured) if measured else self._estimates[cell.label]
        if seconds is None and self._seconds:
            seconds = median(value for values in self._seconds.values() for value in values)
        return None if seconds is None else max(seconds - elapsed, 0.0)


class _Left(ProgressColumn):
    """The time left, e.g. `0:01:20 left`."""

    def __init__(self, progress: MatrixProgress) -> None:
        super().__init__()
        self._progress = progress

    def render(self, task: Task) -> Text:
        seconds = self._progress.seconds_left()
        if seconds is None:
            return Text("")
        return Text(f" {timedelta(seconds=round(seconds))} left", style="cyan")
