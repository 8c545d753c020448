"""What `mlcli train` shows: the plan of a dry run on stdout, and the progress of training on stderr."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mlcli.config.dump import to_dict
from mlcli.config.schema import Lbfgs
from mlcli.experiment.plan import Plan
from mlcli.records import EpochRecord
from mlcli.rendering.console import escape, message_console
from mlcli.rendering.tables import format_cell, print_summary


def print_plan(plan: Plan, n_threads: int, output_format: str) -> None:
    """Print a plan to stdout; as JSON together with the resolved configuration."""
    settings = describe_plan(plan, n_threads)
    fields = [(name.replace("_", " "), format_cell(value)) for name, value in settings.items()]
    document = {"schema_version": 1, "plan": settings, "config": to_dict(plan.config)}
    print_summary("Plan (nothing was run)", [fields], settings, document, output_format)


def describe_plan(plan: Plan, n_threads: int) -> dict[str, object]:
    """Return the settings by which a person can check a plan before it is run."""
    config, info = plan.config, plan.info
    settings: dict[str, object] = {
        "experiment": config.name,
        "backend": plan.backend,
        "dataset": info.title,
        "samples": info.n_train + info.n_test,
        "sample_shape": "x".join(map(str, info.input_shape)),
        "classes": info.n_classes,
        "model": config.model.name,
        "parameters": plan.network.n_parameters if plan.network else None,
        "optimizer": config.optimizer.name if config.optimizer else None,
    }
    if plan.is_iterative and config.optimizer is not None and not isinstance(config.optimizer, Lbfgs):
        epochs, batch_size = config.training.epochs or 0, config.training.batch_size or 1
        settings |= {
            "learning_rate": config.optimizer.lr,
            "epochs": epochs,
            "batch_size": batch_size,
            "steps_at_most": epochs * math.ceil(plan.n_train_samples / batch_size),
        }
    else:
        settings["fitted"] = "in a single fit"
    return settings | {"seed": config.seed, "device": config.runtime.device, "threads": n_threads}


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

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def on_stage(self, text: str) -> None:
        self._progress.update(self._task, description=escape(text))

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        scores = _scores(record)
        if not self._has_header:
            names = ["epoch", *(_SHORT.get(name, name) for name in scores), "seconds", "samples/s"]
            self.console.print(f"[dim]{escape(_columns(names))}[/dim]")
            self._has_header = True
        rate = _rate(record)
        row = _columns([f"{record.epoch}", *scores.values(), f"{record.seconds:.2f}", rate])
        self.console.print(f"[green]{escape(row)}  best[/green]" if record.is_best else escape(row))
        shown = [f"{name} {scores[name]}" for name in ("running loss", "running accuracy") if name in scores]
        self._progress.update(
            self._task,
            description="training",
            completed=record.epoch,
            total=n_epochs,
            count=f"{record.epoch}/{n_epochs}",
            metrics="  ".join([*shown, *([f"{rate} samples/s"] if rate else [])]),
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
    }
    return {name: f"{value:.4f}" for name, value in values.items() if value is not None}


def _rate(record: EpochRecord) -> str:
    return "" if record.samples_per_second is None else f"{record.samples_per_second:,.0f}"


def _columns(texts: Iterable[str]) -> str:
    return "".join(f"{text:>10}" for text in texts)
