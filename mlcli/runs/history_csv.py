"""A run's history, one row an epoch, as CSV and back."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from io import StringIO

from mlcli.records import EpochRecord


def parsed_history(data: bytes) -> list[EpochRecord]:
    """The records of a file; ValueError for one that is something else, or whose last row is not whole."""
    try:
        return [_epoch(row) for row in csv.DictReader(StringIO(data.decode(), newline=""))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a row is not whole: {error}") from error


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    return EpochRecord(
        epoch=int(row["epoch"]),
        learning_rate=_number(row["learning_rate"]),
        train_loss=_number(row["train_loss"]),
        train_accuracy=_number(row["train_accuracy"]),
        validation_loss=_number(row["validation_loss"]),
        validation_accuracy=_number(row["validation_accuracy"]),
        seconds=float(row["seconds"]),
        samples_per_second=float(row["samples_per_second"]),
        is_best={"True": True, "False": False}[row["is_best"]],
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
