"""The history of a run as CSV, one row per epoch, written and read."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from io import StringIO

from mlcli.records import EpochRecord


def history_bytes(records: Sequence[EpochRecord], *, with_header: bool) -> bytes:
    """Return one row per record, after the header if asked for."""
    text = StringIO(newline="")
    writer = csv.DictWriter(text, [field.name for field in fields(EpochRecord)], lineterminator="\n")
    if with_header:
        writer.writeheader()
    writer.writerows(asdict(record) for record in records)
    return text.getvalue().encode()


def parsed_history(data: bytes) -> list[EpochRecord]:
    """Return the records of a file, with line ends of either kind; ValueError for content that is not a history."""
    try:
        return [_epoch(row) for row in csv.DictReader(StringIO(data.decode(), newline=""))]
    except (KeyError, TypeError) as error:
        raise ValueError(f"a row is incomplete: {error}") from error
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _epoch(row: Mapping[str, str]) -> EpochRecord:
    epoch = int(row["epoch"])
    if not 0 <= epoch < 2**63:
        raise ValueError("epoch: a number that needs more than 64 bits")
    return EpochRecord(
        epoch=epoch,
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
