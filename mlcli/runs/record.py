"""The record of a run from JSON: every field of its type and within what a run can have."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar, cast

from mlcli.config.values import MOST_THREADS
from mlcli.records import RunRecord

_MAX_SECONDS = 1e9  # thirty years
_MAX_CHARACTERS = 300
T = TypeVar("T")
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


def typed(kind: type[T], document: dict[str, Any]) -> T:
    """A dataclass of what `parse_json` gave, every field of its type; ValueError naming the first that is not.

    Keys that the dataclass does not have are left out.
    """
    from pydantic import ValidationError

    from mlcli.config.messages import key_path

    try:
        record: T = _adapter(cast("Any", kind)).validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise ValueError(f"{key_path(first['loc'])}: {first['msg'].lower()}") from None
    return record


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
