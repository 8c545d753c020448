"""Training progress on stderr: a bar and a growing table on a terminal, plain lines elsewhere, nothing when quiet."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mlcli.records import EpochRecord
from mlcli.rendering.console import escape, message_console


class QuietProgress:
    """Shows only notes, or with show_notes=False nothing."""

    def __init__(self, console: Console | None = None, *, show_notes: bool = True) -> None:
        self.console = console or message_console()
        self._show_notes = show_notes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def on_stage(self, text: str) -> None:
        return None

    def on_slow_step(self, text: str) -> None:
        if self._show_notes:
            self.console.print(f"[dim]{escape(text)}[/dim]")

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        return None

    def on_note(self, text: str) -> None:
        if self._show_notes:
            self.console.print(f"[yellow]note:[/yellow] {escape(text)}")


class LineProgress(QuietProgress):
    """One plain line per epoch, for pipes and log files; with verbose, one per stage too."""

    def __init__(self, console: Console | None = None, *, verbose: bool = False) -> None:
        super().__init__(console)
        self._verbose = verbose

    def on_stage(self, text: str) -> None:
        if self._verbose:
            self.console.print(escape(text))

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        self.console.print(escape(epoch_line(record, n_epochs)))


class BarProgress(QuietProgress):
    """A bar over the epochs with loss, accuracy, samples/s and time left; above it one row per epoch."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}  {task.fields[metrics]}"),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            speed_estimate_period=24 * 3600,  # epochs can be long
        )
        self._task: TaskID = self._progress.add_task("", total=None, count="", metrics="")
        self._has_header = False

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_stage(self, text: str) -> None:
        self._progress.update(self._task, description=escape(text))

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        if not self._has_header:
            self.console.print(f"[dim]{escape(_header(record))}[/dim]")
            self._has_header = True
        row = escape(_row(record))
        self.console.print(f"[green]{row}[/green]" if record.is_best else row)
        self._progress.update(
            self._task,
            description="training",
            completed=record.epoch,
            total=n_epochs,
            count=f"{record.epoch}/{n_epochs}",
            metrics=_bar_metrics(record),
        )


def training_progress(*, quiet: bool, verbose: bool) -> QuietProgress:
    """Return the progress display that suits the flags and stderr: a terminal, a pipe or a file."""
    console = message_console()
    if quiet:
        return QuietProgress(console, show_notes=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return BarProgress(console)
    return LineProgress(console, verbose=verbose)


def epoch_line(record: EpochRecord, n_epochs: int) -> str:
    """Return an epoch as one line, e.g. `epoch 3/10  loss 0.3412  accuracy 0.8790  0.95 s  63,158 samples/s  best`."""
    parts = [f"epoch {record.epoch}/{n_epochs}" if record.learning_rate is not None else "fitted"]
    parts += _scores(record)
    parts += [f"{record.seconds:.2f} s", f"{record.samples_per_second:,.0f} samples/s"]
    if record.is_best and record.learning_rate is not None:
        parts.append("best")
    return "  ".join(parts)


def _scores(record: EpochRecord) -> list[str]:
    named = {
        "loss": record.train_loss,
        "accuracy": record.train_accuracy,
        "validation loss": record.validation_loss,
        "validation accuracy": record.validation_accuracy,
    }
    return [f"{name} {value:.4f}" for name, value in named.items() if value is not None]


def _header(record: EpochRecord) -> str:
    names = ["epoch", "loss", "accuracy"]
    names += ["val. loss", "val. acc."] if record.validation_accuracy is not None else []
    return "".join(f"{name:>10}" for name in [*names, "seconds", "samples/s"])


def _row(record: EpochRecord) -> str:
    values = [record.train_loss, record.train_accuracy]
    values += [record.validation_loss, record.validation_accuracy] if record.validation_accuracy is not None else []
    cells = [f"{value:.4f}" if value is not None else "" for value in values]
    cells = [f"{record.epoch}", *cells, f"{record.seconds:.2f}", f"{record.samples_per_second:,.0f}"]
    return "".join(f"{text:>10}" for text in cells) + ("  best" if record.is_best else "")


def _bar_metrics(record: EpochRecord) -> str:
    loss = f"loss {record.train_loss:.4f}  " if record.train_loss is not None else ""
    accuracy = f"accuracy {record.train_accuracy:.4f}  " if record.train_accuracy is not None else ""
    return f"{loss}{accuracy}{record.samples_per_second:,.0f} samples/s"
