"""Thresholds of `--fail-under METRIC=X`: the exit code of a command depends on a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlcli.errors import ThresholdError, UsageError, unknown_name


def parse_thresholds(texts: Sequence[str], metrics: Sequence[str]) -> dict[str, float]:
    """Return thresholds by metric from texts like `accuracy=0.85`.

    metrics: the names that are allowed. UsageError for another name, and for a value outside 0 to 1.
    """
    thresholds = {}
    for text in texts:
        name, _, number = text.partition("=")
        if name not in metrics:
            raise UsageError(f"--fail-under {text}: {unknown_name('metric', name, list(metrics))}")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not 0 <= value <= 1:
            raise UsageError(f"--fail-under {text}: expected a number between 0 and 1, e.g. {name}=0.85")
        thresholds[name] = value
    return thresholds


def missed_thresholds(
    thresholds: Mapping[str, float], scores: Mapping[str, float | None], subject: str = ""
) -> list[str]:
    """Return a sentence for each score below its threshold; a score that is missing or None counts as below.

    subject: what was scored, where a command scores several things, e.g. "torch lr=0.1".
    """
    of_subject = f" of {subject}" if subject else ""
    missed = []
    for name, threshold in thresholds.items():
        value = scores.get(name)
        if value is None:
            missed.append(f"{name}{of_subject} does not exist")
        elif value < threshold:
            missed.append(f"{name} {value:.4f}{of_subject} is below {threshold:g}")
    return missed


def check_thresholds(thresholds: Mapping[str, float], scores: Mapping[str, float | None]) -> None:
    """ThresholdError naming every score below its threshold."""
    missed = missed_thresholds(thresholds, scores)
    if missed:
        raise ThresholdError("--fail-under: " + "; ".join(missed))
