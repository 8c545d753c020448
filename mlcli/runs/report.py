"""The result of a run: one table, one JSON document, one CSV row."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mlcli.records import EpochRecord, RunRecord, Timing
from mlcli.rendering.console import OutputFormat
from mlcli.rendering.tables import (
    Row,
    print_csv,
    print_fields,
    print_markdown,
    print_markdown_fields,
    print_rows,
    print_table,
)
from mlcli.text import to_json

_Figures = list[tuple[str, str]]


def print_run(record: RunRecord, directory: Path, output_format: str, *, is_reused: bool = False) -> None:
    """Print a finished run to stdout."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(asdict(record) | {"directory": str(directory), "is_reused": is_reused}))
        case OutputFormat.CSV:
            print_csv([flat_row(record, directory)])
        case OutputFormat.MARKDOWN:
            print_markdown_fields(run_title(record), run_sections(record, directory, is_reused))
        case OutputFormat.TABLE:
            print_fields(run_title(record), run_sections(record, directory, is_reused))


def flat_row(record: RunRecord, directory: Path) -> dict[str, object]:
    """The record as one row of plain values, the same columns for every run."""
    row: dict[str, object] = {
        "run_id": record.run_id,
        "name": record.name,
        "status": record.status,
        "backend": record.backend,
        "dataset": record.dataset,
        "model": record.model,
        "seed": record.seed,
    }
    for split in ("test", "validation", "train"):
        metrics = record.metrics.get(split)
        row[f"{split}_accuracy"] = metrics.accuracy if metrics else None
        row[f"{split}_loss"] = metrics.loss if metrics else None
    row["epochs"] = record.epochs
    row["best_epoch"] = record.best_epoch
    row |= asdict(record.timing) if record.timing else dict.fromkeys(Timing.__annotations__)
    return row | {
        "samples_per_second": record.samples_per_second,
        "n_parameters": record.n_parameters,
        "device": record.device,
        "threads": record.threads,
        "peak_memory_bytes": record.peak_memory_bytes,
        "directory": str(directory),
    }


def run_title(record: RunRecord) -> str:
    """What ran."""
    return f"{record.name} on {record.backend}, seed {record.seed}"


def run_sections(record: RunRecord, directory: Path, is_reused: bool = False) -> list[_Figures]:
    """The figures of a run: scores, times, machine, place."""
    closing = [("run directory", str(directory))]
    if is_reused:
        closing.append(("reused", "an identical run was finished before"))
    return [_score_figures(record), _time_figures(record), _machine_figures(record), closing]


def _score_figures(record: RunRecord) -> _Figures:
    figures: _Figures = []
    for split in ("test", "validation", "train"):
        metrics = record.metrics.get(split)
        if metrics is None:
            continue
        n_correct = round(metrics.accuracy * metrics.n_samples)
        detail = f"  ({n_correct:,}/{metrics.n_samples:,})" if split == "test" else ""
        figures.append((f"{split} accuracy", f"{metrics.accuracy:.4f}{detail}"))
        if metrics.loss is not None:
            figures.append((f"{split} loss", f"{metrics.loss:.4f}"))
    if record.best_epoch is not None:
        figures.append(("best epoch", f"{record.best_epoch} of {record.epochs}"))
    return figures


def _time_figures(record: RunRecord) -> _Figures:
    timing = record.timing
    if timing is None:
        return []
    figures = [("load", timing.load_seconds), ("build", timing.build_seconds)]
    if record.epochs is None:
        figures.append(("fit", timing.first_epoch_seconds))
    else:
        figures.append(("first epoch", timing.first_epoch_seconds))
        figures.append((f"remaining epochs ({max(record.epochs - 1, 0)})", timing.remaining_epochs_seconds))
    if timing.validate_seconds:
        figures.append(("score train and validation" if record.epochs is None else "validate", timing.validate_seconds))
    figures += [("evaluate", timing.evaluate_seconds), ("total", timing.total_seconds)]
    return [(label, f"{seconds:.3f} s") for label, seconds in figures]


def _machine_figures(record: RunRecord) -> _Figures:
    figures: _Figures = []
    if record.samples_per_second:
        figures.append(("training samples/s", f"{record.samples_per_second:,.0f}"))
    if record.n_parameters is not None:
        figures.append(("parameters", f"{record.n_parameters:,}"))
    if record.peak_memory_bytes is not None:
        figures.append(("peak memory", f"{record.peak_memory_bytes / 2**20:,.0f} MiB"))
    return [*figures, ("device", record.device), ("threads", str(record.threads))]


def print_run_list(runs: Mapping[str, tuple[RunRecord, Path]], title: str, output_format: str) -> None:
    """Print runs to stdout, by the shortest text that names each. JSON and CSV hold every figure of them."""
    records = list(runs.values())
    if OutputFormat(output_format) in (OutputFormat.JSON, OutputFormat.CSV):
        print_rows(title, [_full_row(record, directory) for record, directory in records], output_format)
    elif runs:
        rows = [_short_row(reference, record) for reference, (record, _) in runs.items()]
        if OutputFormat(output_format) is OutputFormat.MARKDOWN:
            print_markdown(rows)
        else:
            all_finished = all(record.status == "finished" for record, _ in records)
            print_table(title, rows, optional=[*(["status"] if all_finished else []), "model", "name", "loss"])


def _full_row(record: RunRecord, directory: Path) -> Row:
    return {**flat_row(record, directory), "created": record.created, "error": record.error}


def _short_row(reference: str, record: RunRecord) -> Row:
    test = record.metrics.get("test")
    return {
        "run": reference,
        "name": record.name,
        "status": record.status,
        "backend": record.backend,
        "dataset": record.dataset,
        "model": record.model,
        "accuracy": f"{test.accuracy:.4f}" if test else None,
        "loss": f"{test.loss:.4f}" if test and test.loss is not None else None,
        "seconds": f"{record.timing.total_seconds:,.1f}" if record.timing else None,
    }


def print_one_run(record: RunRecord, directory: Path, history: Sequence[EpochRecord], output_format: str) -> None:
    """Print a run as `train` did, with how it ended, its history and its notes. CSV is the row that `train` prints."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            epochs = [asdict(epoch) for epoch in history]
            sys.stdout.write(to_json(asdict(record) | {"directory": str(directory), "history": epochs}))
        case OutputFormat.CSV:
            print_csv([_full_row(record, directory)])
        case OutputFormat.MARKDOWN:
            print_markdown_fields(run_title(record), _all_sections(record, directory))
            if history:
                sys.stdout.write("\n")
                print_markdown(_history_rows(history))
        case OutputFormat.TABLE:
            print_fields(run_title(record), _all_sections(record, directory))
            if history:
                print_table("history", _history_rows(history), optional=["learning rate", "samples/s", "seconds"])


def _all_sections(record: RunRecord, directory: Path) -> list[_Figures]:
    ending = [("status", record.status), ("started", record.created)]
    if record.error:
        ending.append(("reason", record.error))
    notes = [("note", note) for note in record.notes]
    return [ending, *run_sections(record, directory), *([notes] if notes else [])]


# Column, field of the record, decimals.
_COLUMNS = (
    ("learning rate", "learning_rate", "{:.4g}"),
    ("loss", "train_loss", "{:.4f}"),
    ("accuracy", "train_accuracy", "{:.4f}"),
    ("val. loss", "validation_loss", "{:.4f}"),
    ("val. acc.", "validation_accuracy", "{:.4f}"),
    ("seconds", "seconds", "{:.3f}"),
    ("samples/s", "samples_per_second", "{:,.0f}"),
)


def _history_rows(history: Sequence[EpochRecord]) -> list[Row]:
    """One row an epoch, without the columns that no epoch has a value for."""
    shown = [column for column in _COLUMNS if any(getattr(epoch, column[1]) is not None for epoch in history)]
    return [
        {
            "epoch": str(epoch.epoch),
            **{column: _shown(getattr(epoch, name), decimals) for column, name, decimals in shown},
            "": "best" if epoch.is_best else "",
        }
        for epoch in history
    ]


def _shown(value: float | None, text: str) -> str | None:
    return None if value is None else text.format(value)
