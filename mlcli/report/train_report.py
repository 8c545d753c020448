"""The result of a run: one table, one JSON document, one CSV row."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

from mlcli.records import RunRecord, Timing
from mlcli.report.formats import OutputFormat
from mlcli.report.tables import print_csv, print_figures, print_markdown_figures
from mlcli.runs import to_json

Figures = list[tuple[str, str]]


def print_run(record: RunRecord, directory: Path, output_format: str, *, is_reused: bool = False) -> None:
    """Print a finished run to stdout."""
    match OutputFormat(output_format):
        case OutputFormat.JSON:
            sys.stdout.write(to_json(asdict(record) | {"directory": str(directory), "is_reused": is_reused}))
        case OutputFormat.CSV:
            print_csv([flat_row(record, directory)])
        case OutputFormat.MARKDOWN:
            print_markdown_figures(run_title(record), run_sections(record, directory, is_reused))
        case OutputFormat.TABLE:
            print_figures(run_title(record), run_sections(record, directory, is_reused))


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


def run_sections(record: RunRecord, directory: Path, is_reused: bool = False) -> list[Figures]:
    """The figures of a run: scores, times, machine, place."""
    closing = [("run directory", str(directory))]
    if is_reused:
        closing.append(("reused", "an identical run was finished before"))
    return [_score_figures(record), _time_figures(record), _machine_figures(record), closing]


def _score_figures(record: RunRecord) -> Figures:
    figures: Figures = []
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


def _time_figures(record: RunRecord) -> Figures:
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


def _machine_figures(record: RunRecord) -> Figures:
    figures: Figures = []
    if record.samples_per_second:
        figures.append(("training samples/s", f"{record.samples_per_second:,.0f}"))
    if record.n_parameters is not None:
        figures.append(("parameters", f"{record.n_parameters:,}"))
    if record.peak_memory_bytes is not None:
        figures.append(("peak memory", f"{record.peak_memory_bytes / 2**20:,.0f} MiB"))
    return [*figures, ("device", record.device), ("threads", str(record.threads))]
