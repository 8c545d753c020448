"""How far a benchmark is, on stderr."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mlcli.rendering.console import escape, message_console


class QuietBenchProgress:
    """Shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def on_stage(self, text: str) -> None:
        return None

    def on_visit(self, text: str, n_done: int, n_figures: int) -> None:
        return None


class LineBenchProgress(QuietBenchProgress):
    """A plain line a stage, for pipes and log files."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_stage(self, text: str) -> None:
        self._console.print(escape(text))


class BarBenchProgress(QuietBenchProgress):
    """A bar over the figures that are known well enough, and what is measured now."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(),
            console=console, transient=True,
            # Drawing takes processor time from what is measured: seldom is often enough.
            refresh_per_second=2,
        )  # fmt: skip
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_stage(self, text: str) -> None:
        self._progress.update(self._task, description=escape(text))

    def on_visit(self, text: str, n_done: int, n_figures: int) -> None:
        self._progress.update(self._task, description=escape(text), completed=n_done, total=n_figures)


def bench_progress(*, quiet: bool) -> QuietBenchProgress:
    """What fits the terminal, the pipe and the flags."""
    console = message_console()
    if quiet:
        return QuietBenchProgress()
    if console.is_terminal and not console.is_dumb_terminal:
        return BarBenchProgress(console)
    return LineBenchProgress(console)
