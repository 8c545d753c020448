"""`--fail-under METRIC=X`: a script's way to insist on a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlcli.errors import ThresholdError, UsageError, unknown_name

if TYPE_CHECKING:
    from mlcli.records import RunRecord

_METRICS = {"accuracy": "test", "validation_accuracy": "validation", "train_accuracy": "train"}


def parse_thresholds(texts: Sequence[str]) -> dict[str, float]:
    """Thresholds by metric from texts like `accuracy=0.85`; UsageError for anything else."""
    thresholds = {}
    for text in texts:
        name, separator, number = text.partition("=")
        if name not in _METRICS:
            raise UsageError(f"--fail-under {text}: {unknown_name('metric', name, list(_METRICS))}")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not separator or not 0 <= value <= 1:
            raise UsageError(f"--fail-under {text}: give a share between 0 and 1, e.g. {name}=0.85")
        thresholds[name] = value
    return thresholds


def check_thresholds(thresholds: Mapping[str, float], record: RunRecord) -> None:
    """ThresholdError naming every score that is lower than asked, or that the run does not have."""
    missed = []
    for name, least in thresholds.items():
        metrics = record.metrics.get(_METRICS[name])
        if metrics is None:
            missed.append(f"{name} does not exist: the run has no {_METRICS[name]} split")
        elif metrics.accuracy < least:
            missed.append(f"{name} {metrics.accuracy:.4f} is below {least:g}")
    if missed:
        raise ThresholdError("--fail-under: " + "; ".join(missed))
