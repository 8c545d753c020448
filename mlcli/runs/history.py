"""A run's history, one row an epoch, as CSV and back."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from io import StringIO

from mlcli.records import EpochRecord


def history_bytes(records: Sequence[EpochRecord], *, with_header: bool) -> bytes:
    """A row for each record, the header before them where asked for."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)])
    if with_header:
        writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return text.getvalue().encode()


def parsed_history(data: bytes) -> list[EpochRecord]:
    """The records of a file; ValueError for one that is something else, or whose last row is not whole."""
    try:
        return [_epoch(row) for row in csv.DictReader(StringIO(data.decode(), newline=""))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a row is not whole: {error}") from error
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    return EpochRecord(
        epoch=_whole_number(row["epoch"]),
        learning_rate=_number(row["learning_rate"]),
        train_loss=_number(row["train_loss"]),
        train_accuracy=_number(row["train_accuracy"]),
        validation_loss=_number(row["validation_loss"]),
        validation_accuracy=_number(row["validation_accuracy"]),
        seconds=float(row["seconds"]),
        samples_per_second=float(row["samples_per_second"]),
        is_best={"True": True, "False": False}[row["is_best"]],
    )


def _whole_number(text: str) -> int:
    number = int(text)
    if not 0 <= number < 2**63:
        raise ValueError("epoch: a number that needs more than 64 bits")
    return number


def _number(text: str) -> float | None:
    return float(text) if text else None
