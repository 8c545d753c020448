"""Print runs: one in full, or a list of them; as a table, JSON, CSV or Markdown."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict
from pathlib import Path

from mlcli.records import EpochRecord, Metrics, RunRecord, Timing, epoch_steps
from mlcli.registry import IMBALANCED, METRICS
from mlcli.rendering import OutputFormat
from mlcli.rendering.tables import Row, print_markdown, print_rows, print_summary, print_table
from mlcli.runs.find import ListedRun

_Fields = list[tuple[str, str]]
_SPLITS = ("test", "validation", "train")
ALWAYS_LARGEST = "always the largest class"  # the row of the accuracy that a model must exceed to be of any use
_N_NOTES = 20  # shown of a run
_N_EPOCHS = 50  # shown at either end of a long history
_MAX_REASON = 2000  # characters


def print_run(
    record: RunRecord,
    directory: Path,
    output_format: str,
    *,
    batch_size: int | None = None,
    is_reused: bool = False,
    shown: Collection[str] = (),
) -> None:
    """Print a finished run to stdout, as `train` does.

    batch_size: None for a single fit. shown: the metrics that a table has besides accuracy and loss.
    """
    sections = _sections(record, directory, shown)
    steps = _steps(record, batch_size)
    if batch_size is not None:
        sections.insert(1, [(name.replace("_", " "), f"{value:,}") for name, value in steps.items()])
    if is_reused:
        sections[-1].append(("reused", "an identical run had finished before"))
    document = asdict(record) | {"directory": str(directory), "is_reused": is_reused} | steps
    print_summary(_title(record), sections, _flat_row(record, directory) | steps, document, output_format)


def _steps(record: RunRecord, batch_size: int | None) -> dict[str, int | None]:
    """Return the steps of an epoch and its batches, each None for a single fit."""
    n_steps, last_batch_size = None, None
    if batch_size is not None:
        n_steps, last_batch_size = epoch_steps(record.n_train_samples or record.metrics["train"].n_samples, batch_size)
    return {"batch_size": batch_size, "steps_per_epoch": n_steps, "last_batch_size": last_batch_size}


def print_one_run(record: RunRecord, directory: Path, history: Sequence[EpochRecord], output_format: str) -> None:
    """Print a run as `train` does, with its status, history and notes. CSV is the row of `runs list`.

    JSON holds everything; the tables show at most 20 notes and 100 epochs.
    """
    status = [("status", record.status), ("started", record.created)]
    if record.error:
        status.append(("reason", record.error[:_MAX_REASON]))
    notes = [("note", note) for note in record.notes[:_N_NOTES]]
    if len(record.notes) > _N_NOTES:
        notes.append(("notes", f"{len(record.notes) - _N_NOTES:,} more; --format json has them"))
    sections = [status, *_sections(record, directory), notes]
    is_document = output_format == OutputFormat.JSON  # costly for a long history
    epochs = [asdict(epoch) for epoch in history] if is_document else []
    document = asdict(record) | {"directory": str(directory), "history": epochs}
    print_summary(_title(record), sections, _full_row(record, directory), document, output_format)
    ends = history if len(history) <= 2 * _N_EPOCHS else [*history[:_N_EPOCHS], *history[-_N_EPOCHS:]]
    if history and output_format == OutputFormat.MARKDOWN:
        sys.stdout.write("\n")
        print_markdown(_history_rows(ends))
    elif history and output_format == OutputFormat.TABLE:
        some = f": the first and the last {_N_EPOCHS} of {len(history):,} epochs" if len(ends) < len(history) else ""
        print_table(f"History{some}", _history_rows(ends), optional=["learning rate", "samples/s", "seconds"])


def print_run_list(runs: Sequence[ListedRun], title: str, output_format: str) -> None:
    """Print a list of runs to stdout. JSON and CSV hold every value, the tables a selection."""
    match OutputFormat(output_format):
        case OutputFormat.JSON | OutputFormat.CSV:
            print_rows(title, [_full_row(run.record, run.directory) for run in runs], output_format)
        case OutputFormat.MARKDOWN:
            print_markdown([_short_row(run) for run in runs])
        case OutputFormat.TABLE if runs:
            all_finished = all(run.record.status == "finished" for run in runs)
            optional = ["id", *(["status"] if all_finished else []), "model", "name", "loss"]
            print_table(title, [_short_row(run) for run in runs], optional=optional)


OTHER_METRICS = tuple(name for name in METRICS if name not in ("accuracy", "loss"))
_IDENTITY = ("run_id", "name", "status", "backend", "dataset", "model", "seed")
_MACHINE = ("samples_per_second", "n_parameters", "device", "threads", "peak_memory_bytes")


def _flat_row(record: RunRecord, directory: Path) -> dict[str, object]:
    """The record as one row of plain values, with the same columns for every run."""
    row: dict[str, object] = {name: getattr(record, name) for name in _IDENTITY}
    for split in _SPLITS:
        metrics = record.metrics.get(split)
        row[f"{split}_accuracy"] = metrics.accuracy if metrics else None
        row[f"{split}_loss"] = metrics.loss if metrics else None
    row |= {"epochs": record.epochs, "best_epoch": record.best_epoch}
    row |= asdict(record.timing) if record.timing else dict.fromkeys(Timing.__annotations__)
    row |= {name: getattr(record, name) for name in _MACHINE} | {"directory": str(directory)}
    test = record.metrics.get("test")
    return row | {f"test_{name}": getattr(test, name) if test else None for name in OTHER_METRICS}


def _full_row(record: RunRecord, directory: Path) -> Row:
    return {**_flat_row(record, directory), "created": record.created, "error": record.error}


def _short_row(run: ListedRun) -> Row:
    record, test = run.record, run.record.metrics.get("test")
    return {
        "run": run.reference,
        **{name: getattr(record, name) for name in ("name", "status", "backend", "dataset", "model")},
        "accuracy": f"{test.accuracy:.4f}" if test else None,
        "loss": f"{test.loss:.4f}" if test and test.loss is not None else None,
        "seconds": f"{record.timing.total_seconds:,.1f}" if record.timing else None,
        "id": record.run_id,
    }


def _title(record: RunRecord) -> str:
    return f"{record.name} on {record.backend}, seed {record.seed}"


def _sections(record: RunRecord, directory: Path, shown: Collection[str] = ()) -> list[_Fields]:
    """Scores, times, machine, and where the run is stored."""
    return [_scores(record, shown), _times(record), _machine(record), [("run directory", str(directory))]]


def _scores(record: RunRecord, shown: Collection[str]) -> _Fields:
    fields: _Fields = []
    for split in [name for name in _SPLITS if name in record.metrics]:
        metrics = record.metrics[split]
        during = " during the epoch" if split == "train" and _has_running_mean(record) else ""
        fields.append((f"{split} accuracy{during}", f"{metrics.accuracy:.4f}{_detail(record, split)}"))
        if metrics.loss is not None:
            fields.append((f"{split} loss{during}", f"{metrics.loss:.4f}"))
        fields += [
            (f"{split} {METRICS[name].title}", metric_text(metrics, name)) for name in OTHER_METRICS if name in shown
        ]
        if split == "test" and (metrics.largest_class_accuracy or 0) >= IMBALANCED:
            fields.append((ALWAYS_LARGEST, f"{metrics.largest_class_accuracy:.4f}"))
    if record.best_epoch is not None and "validation" in record.metrics:
        fields.append(("best epoch (validation)", f"{record.best_epoch} of {record.epochs}"))
        if record.kept_epoch is not None:
            which = "the last" if record.kept_epoch == record.epochs else "the best"
            fields.append(("weights", f"of epoch {record.kept_epoch}, {which}"))
    return fields


def metric_text(metrics: Metrics, name: str) -> str:
    """Return a metric with four decimals, or why it does not exist."""
    value = getattr(metrics, name)
    return f"{value:.4f}" if value is not None else f"none: {metrics.undefined.get(name, 'not computed')}"


def _has_running_mean(record: RunRecord) -> bool:
    return record.schema_version == 1 and record.epochs is not None


def _detail(record: RunRecord, split: str) -> str:
    """Return how many samples were predicted correctly in the test split, or scored of a larger training split."""
    metrics = record.metrics[split]
    if split == "test":
        return f"  ({round(metrics.accuracy * metrics.n_samples):,}/{metrics.n_samples:,})"
    if split == "train" and record.n_train_samples not in (None, metrics.n_samples):
        return f"  (of {metrics.n_samples:,} of {record.n_train_samples:,} samples)"
    return ""


def _times(record: RunRecord) -> _Fields:
    timing = record.timing
    if timing is None:
        return []
    seconds = {"load": timing.load_seconds, "build": timing.build_seconds}
    if record.epochs is None:
        seconds["fit"] = timing.first_epoch_seconds
    else:
        seconds["first epoch"] = timing.first_epoch_seconds
        seconds[f"remaining epochs ({max(record.epochs - 1, 0)})"] = timing.remaining_epochs_seconds
    if timing.validate_seconds:
        seconds["validate"] = timing.validate_seconds
    if timing.score_train_seconds:
        seconds["score training data"] = timing.score_train_seconds
    seconds |= {"evaluate": timing.evaluate_seconds, "total": timing.total_seconds}
    fields = [(label, f"{value:.3f} s") for label, value in seconds.items()]
    if record.median_epoch_seconds is not None:
        fields.insert(4, ("median epoch", f"{record.median_epoch_seconds:.3f} s"))
    return fields


def _machine(record: RunRecord) -> _Fields:
    fields: _Fields = []
    if record.samples_per_second and record.epochs is not None:
        fields.append(("training samples/s", f"{record.samples_per_second:,.0f}"))
    if record.n_parameters is not None:
        fields.append(("parameters", f"{record.n_parameters:,}"))
    if record.peak_memory_bytes is not None:
        fields.append(("peak memory", f"{record.peak_memory_bytes / 2**20:,.0f} MiB"))
    return [*fields, ("device", record.device), ("threads", str(record.threads))]


# Column, field of the record, format.
_Column = tuple[str, str, str]
_VALIDATION: tuple[_Column, ...] = (
    ("val. loss", "validation_loss", "{:.4f}"),
    ("val. acc.", "validation_accuracy", "{:.4f}"),
    ("monitored", "monitored", "{:.4f}"),
    ("seconds", "seconds", "{:.3f}"),
)
_OF_EPOCHS: tuple[_Column, ...] = (
    ("learning rate", "learning_rate", "{:.4g}"),
    ("run. loss", "train_loss", "{:.4f}"),  # running means during the epoch
    ("run. acc.", "train_accuracy", "{:.4f}"),
    *_VALIDATION,
    ("samples/s", "samples_per_second", "{:,.0f}"),
)
_OF_SINGLE_FIT: tuple[_Column, ...] = (
    ("train loss", "train_loss", "{:.4f}"),
    ("train acc.", "train_accuracy", "{:.4f}"),
    *_VALIDATION,
)


def _history_rows(history: Sequence[EpochRecord]) -> list[Row]:
    """One row per epoch, without the columns that have no value in any epoch.

    Without validation no epoch is the best, whatever histories of version 0.1.0 say.
    """
    columns = _OF_SINGLE_FIT if all(epoch.learning_rate is None for epoch in history) else _OF_EPOCHS
    shown = [column for column in columns if any(getattr(epoch, column[1]) is not None for epoch in history)]
    is_validated = any(epoch.validation_accuracy is not None for epoch in history)
    return [
        {
            "epoch": str(epoch.epoch),
            **{column: _formatted(getattr(epoch, name), text) for column, name, text in shown},
            **({"": "best" if epoch.is_best else ""} if is_validated else {}),
        }
        for epoch in history
    ]


def _formatted(value: float | None, text: str) -> str | None:
    return None if value is None else text.format(value)
