"""The progress of a benchmark, on stderr."""

from __future__ import annotations

from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlcli.rendering.console import escape, message_console


class BenchProgress:
    """A bar on a terminal, a line per stage otherwise; nothing if quiet."""

    def __init__(self, *, quiet: bool) -> None:
        console = message_console()
        has_bar = console.is_terminal and not console.is_dumb_terminal
        self._lines = None if quiet or has_bar else console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            refresh_per_second=2,  # drawing takes processor time from what is measured
            disable=quiet or not has_bar,
        )
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def on_stage(self, text: str) -> None:
        """Show that a stage begins, e.g. "starting torch"."""
        self._bar.update(self._task, description=escape(text))
        if self._lines is not None:
            self._lines.print(escape(text))

    def on_measurement(self, text: str, n_done: int, n_measurements: int) -> None:
        """Show what is measured next, and how many measurements are complete."""
        self._bar.update(self._task, description=escape(text), completed=n_done, total=n_measurements)
