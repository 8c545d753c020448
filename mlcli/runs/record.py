"""The record of a run (metrics.json), read with every field of its type and within its bounds."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from typing import Any, TypeVar, cast

from mlcli.config.values import MOST_THREADS
from mlcli.records import RunRecord

T = TypeVar("T")
_MAX_SECONDS = 1e9  # thirty years
_MAX_CHARACTERS = 300
_NAMES = ("run_id", "name", "backend", "dataset", "model", "device", "mlcli_version", "created")
_COUNTS = ("seed", "epochs", "best_epoch", "samples_per_second", "n_parameters", "peak_memory_bytes")


def typed(kind: type[T], document: dict[str, Any]) -> T:
    """Return a dataclass made of what `parse_json` returned, every field of its type; other keys are ignored.

    ValueError names the first field that has another type.
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


def record_from(document: dict[str, Any]) -> RunRecord:
    """Return the record in a document; ValueError for anything else."""
    record = typed(RunRecord, document)
    for name in _NAMES:
        _check_text(name, getattr(record, name))
    for part, digest in record.digests.items():
        _check_text("a digest", part + digest)
    for split, metrics in record.metrics.items():
        _check_range(f"metrics.{split}.accuracy", metrics.accuracy, 0, 1)
        _check_range(f"metrics.{split}.n_samples", metrics.n_samples, 1)
    for name, seconds in (asdict(record.timing) if record.timing else {}).items():
        _check_range(f"timing.{name}", seconds, 0, _MAX_SECONDS)
    _check_range("threads", record.threads, 0, MOST_THREADS)
    for name in _COUNTS:
        _check_range(name, getattr(record, name), 0)
    return record


def _check_text(name: str, text: str) -> None:
    if "\n" in text or len(text) > _MAX_CHARACTERS:
        raise ValueError(f"{name}: expected one line of at most {_MAX_CHARACTERS} characters")


def _check_range(name: str, value: float | None, least: float, most: float = float("inf")) -> None:
    if value is not None and not least <= value <= most:
        raise ValueError(f"{name}: {value} is not between {least:g} and {most:g}")
