"""`--fail-under METRIC=X`: a script's way to insist on a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mlcli.errors import ThresholdError, UsageError, unknown_name

if TYPE_CHECKING:
    from mlcli.records import RunRecord

_SPLITS = {"accuracy": "test", "validation_accuracy": "validation", "train_accuracy": "train"}


def parse_thresholds(texts: Sequence[str], metrics: Sequence[str] = tuple(_SPLITS)) -> dict[str, float]:
    """Thresholds by metric from texts like `accuracy=0.85`; UsageError for anything else."""
    thresholds = {}
    for text in texts:
        name, separator, number = text.partition("=")
        if name not in metrics:
            raise UsageError(f"--fail-under {text}: {unknown_name('metric', name, list(metrics))}")
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
        metrics = record.metrics.get(_SPLITS[name])
        if metrics is None:
            missed.append(f"{name} does not exist: the run has no {_SPLITS[name]} split")
        else:
            missed += _missed(name, metrics.accuracy, least)
    _raise(missed)


def check_scores(thresholds: Mapping[str, float], scores: Mapping[str, float | None]) -> None:
    """ThresholdError naming every score that is lower than asked; None, a score that does not exist, is lower."""
    _raise([line for name, least in thresholds.items() for line in _missed(name, scores[name], least)])


def _missed(name: str, value: float | None, least: float) -> list[str]:
    if value is None:
        return [f"{name} does not exist"]
    return [f"{name} {value:.4f} is below {least:g}"] if value < least else []


def _raise(missed: Sequence[str]) -> None:
    if missed:
        raise ThresholdError("--fail-under: " + "; ".join(missed))
