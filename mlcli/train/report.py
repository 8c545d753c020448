"""What `mlcli train` shows: the plan of a dry run on stdout, and the progress of training on stderr."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from mlcli.config.dump import to_dict
from mlcli.config.schema import Lbfgs
from mlcli.experiment.plan import Plan
from mlcli.experiment.threads import threads_origin
from mlcli.records import EpochProgress, EpochRecord, epoch_steps
from mlcli.rendering.console import escape, message_console
from mlcli.rendering.tables import format_cell, print_summary


def print_plan(plan: Plan, n_threads: int, output_format: str) -> None:
    """Print a plan to stdout; as JSON together with the resolved configuration."""
    settings = describe_plan(plan, n_threads)
    fields = [(name.removeprefix("n_").replace("_", " "), format_cell(value)) for name, value in settings.items()]
    document = {"schema_version": 2, "plan": settings, "config": to_dict(plan.config)}
    print_summary("Plan (nothing was run)", [fields], settings, document, output_format)


def describe_plan(plan: Plan, n_threads: int) -> dict[str, object]:
    """Return the settings by which a person can check a plan before it is run."""
    config, info = plan.config, plan.info
    settings: dict[str, object] = {
        "experiment": config.name,
        "backend": plan.backend,
        "dataset": info.title,
        "n_samples": info.n_train + info.n_validation + info.n_test,
        "sample_shape": "x".join(map(str, info.input_shape)),
        "n_classes": info.n_classes,
        "model": config.model.name,
        "n_parameters": plan.network.n_parameters if plan.network else None,
        "optimizer": config.optimizer.name if config.optimizer else None,
    }
    if plan.is_iterative and config.optimizer is not None and not isinstance(config.optimizer, Lbfgs):
        epochs, batch_size = config.training.epochs or 0, config.training.batch_size or 1
        n_steps, last_batch_size = epoch_steps(plan.n_train_samples, batch_size)
        settings |= {
            "learning_rate": config.optimizer.lr,
            "epochs": epochs,
            "batch_size": batch_size,
            "steps_per_epoch": n_steps,
            "last_batch_size": last_batch_size,
            "max_steps": epochs * n_steps,
        }
    else:
        settings["fitted"] = "in a single fit"
    settings |= {"seed": config.seed, "device": config.runtime.device, "threads": n_threads}
    return settings | {"threads_from": threads_origin(config.runtime.threads)}


_MIN_WIDTH_OF_BAR = 76  # of the terminal; a narrower one fits only the text
_SHORT = {
    "running loss": "run. loss",
    "running accuracy": "run. acc.",
    "validation loss": "val. loss",
    "validation accuracy": "val. acc.",
}


class QuietProgress:
    """Shows only notes, or with show_notes=False nothing."""

    def __init__(self, console: Console | None = None, *, show_notes: bool = True) -> None:
        self.console = console or message_console()
        self._show_notes = show_notes

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def on_stage(self, text: str) -> None:
        return None

    def on_slow_step(self, text: str) -> None:
        if self._show_notes:
            self.console.print(f"[dim]{escape(text)}[/dim]")

    def on_steps(self, progress: EpochProgress) -> None:
        return None

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


class _TimeLeft(TimeRemainingColumn):
    """The estimated time until the end of training; nothing while that is not known."""

    def render(self, task: Task) -> Text:
        is_known = task.time_remaining is not None
        return Text(" ").append(super().render(task)).append(" left") if is_known else Text("")


class BarProgress(QuietProgress):
    """A line for the stage or the epoch under way, with step, loss and time left; above it one row per epoch."""

    def __init__(self, console: Console | None = None) -> None:
        super().__init__(console)
        bar = [BarColumn(bar_width=20)] if self.console.width >= _MIN_WIDTH_OF_BAR else []
        self._progress = Progress(
            TextColumn("{task.description}"),
            _TimeLeft(table_column=Column(no_wrap=True)),
            *bar,
            console=self.console,
            transient=True,
            speed_estimate_period=24 * 3600,  # steps can be long
        )
        self._task = self._progress.add_task("", total=None)
        self._is_training = False
        self._has_header = False

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def on_stage(self, text: str) -> None:
        self._replace_task(escape(text))
        self._is_training = False

    def _replace_task(self, description: str, total: int | None = None, completed: int = 0) -> None:
        self._progress.remove_task(self._task)
        self._task = self._progress.add_task(description, total=total, completed=completed)

    def on_steps(self, progress: EpochProgress) -> None:
        text = f"epoch {progress.epoch}/{progress.n_epochs}  step {progress.step}/{progress.n_steps}"
        text += f"  loss {progress.loss:.4f}"
        n_done = (progress.epoch - 1) * progress.n_steps + progress.step
        if self._is_training:
            self._progress.update(self._task, description=text, completed=n_done)
        else:  # the estimate of the time left counts from here, without the warm-up of the first steps
            self._replace_task(text, progress.n_epochs * progress.n_steps, n_done)
            self._is_training = True

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        scores = _scores(record)
        if not self._has_header:
            names = ["epoch", *(_SHORT.get(name, name) for name in scores), "seconds", "samples/s"]
            self.console.print(f"[dim]{escape(_columns(names))}[/dim]")
            self._has_header = True
        rate = _rate(record)
        row = _columns([f"{record.epoch}", *scores.values(), f"{record.seconds:.2f}", rate])
        self.console.print(f"[green]{escape(row)}  best[/green]" if record.is_best else escape(row))


def training_progress(*, quiet: bool, verbose: bool) -> QuietProgress:
    """Return the progress display that suits the flags and stderr: a terminal, a pipe or a file."""
    console = message_console()
    if quiet:
        return QuietProgress(console, show_notes=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return BarProgress(console)
    return LineProgress(console, verbose=verbose)


def epoch_line(record: EpochRecord, n_epochs: int) -> str:
    """Return an epoch as one line, e.g. `epoch 3/10  running loss 0.34  ...  0.95 s  63,158 samples/s  best`."""
    parts = [f"epoch {record.epoch}/{n_epochs}" if record.learning_rate is not None else "fitted"]
    parts += [f"{name} {text}" for name, text in _scores(record).items()]
    parts += [f"{record.seconds:.2f} s", *([f"{_rate(record)} samples/s"] if _rate(record) else [])]
    if record.is_best:
        parts.append("best")
    return "  ".join(parts)


def _scores(record: EpochRecord) -> dict[str, str]:
    """The scores of an epoch that exist, by name. Running: means over the epoch while the weights change."""
    kind = "running" if record.learning_rate is not None else "train"
    values = {
        f"{kind} loss": record.train_loss,
        f"{kind} accuracy": record.train_accuracy,
        "validation loss": record.validation_loss,
        "validation accuracy": record.validation_accuracy,
        "monitored": record.monitored,
    }
    return {name: f"{value:.4f}" for name, value in values.items() if value is not None}


def _rate(record: EpochRecord) -> str:
    return "" if record.samples_per_second is None else f"{record.samples_per_second:,.0f}"


def _columns(texts: Iterable[str]) -> str:
    return "".join(f"{text:>10}" for text in texts)
