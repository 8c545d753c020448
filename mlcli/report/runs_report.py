"""Runs that were kept: a list of them, and one in full."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from mlcli.records import EpochRecord, RunRecord
from mlcli.report.formats import OutputFormat
from mlcli.report.tables import (
    Figures,
    Row,
    print_csv,
    print_figures,
    print_markdown,
    print_markdown_figures,
    print_rows,
    print_table,
)
from mlcli.report.train_report import flat_row, run_sections, run_title
from mlcli.runs import to_json


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
            print_markdown_figures(run_title(record), _all_sections(record, directory))
            if history:
                sys.stdout.write("\n")
                print_markdown(_history_rows(history))
        case OutputFormat.TABLE:
            print_figures(run_title(record), _all_sections(record, directory))
            if history:
                print_table("history", _history_rows(history), optional=["learning rate", "samples/s", "seconds"])


def _all_sections(record: RunRecord, directory: Path) -> list[Figures]:
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
