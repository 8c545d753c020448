"""The record of a run from JSON: every field of its type and within what a run can have."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlcli.config.values import MOST_THREADS
from mlcli.records import RunRecord
from mlcli.runs.json import typed

_MAX_SECONDS = 1e9  # thirty years
_MAX_CHARACTERS = 300
_NAMES = ("run_id", "name", "backend", "dataset", "model", "device", "mlcli_version", "created")


def record_from(document: dict[str, Any]) -> RunRecord:
    """The record of a document; ValueError for one that is something else."""
    record = typed(RunRecord, document)
    for name in _NAMES:
        _check_name(name, getattr(record, name))
    for part, digest in record.digests.items():
        _check_name("a digest", part + digest)
    _check_numbers(record)
    return record


def _check_name(what: str, name: str) -> None:
    if "\n" in name or len(name) > _MAX_CHARACTERS:
        raise ValueError(f"{what}: not a name on one line")


def _check_numbers(record: RunRecord) -> None:
    for split, metrics in record.metrics.items():
        _check_range(f"metrics.{split}.accuracy", metrics.accuracy, 0, 1)
        _check_range(f"metrics.{split}.n_samples", metrics.n_samples, 1)
    for name, seconds in (asdict(record.timing) if record.timing else {}).items():
        _check_range(f"timing.{name}", seconds, 0, _MAX_SECONDS)
    _check_range("threads", record.threads, 0, MOST_THREADS)
    for name in ("seed", "epochs", "best_epoch", "samples_per_second", "n_parameters", "peak_memory_bytes"):
        _check_range(name, getattr(record, name), 0)


def _check_range(name: str, value: float | None, least: float, most: float = float("inf")) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name}: {value} lies outside of {least:g} to {most:g}")
