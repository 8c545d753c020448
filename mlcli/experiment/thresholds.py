"""Thresholds of `--fail-under METRIC=X` and `--fail-above METRIC=X`: the exit code depends on a score."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mlcli.errors import ThresholdError, UsageError, unknown_name
from mlcli.registry import METRICS

_UNDER, _ABOVE = "--fail-under", "--fail-above"


class Threshold(NamedTuple):
    """The limit of a score: the lowest that passes or, where lower is better, the highest."""

    name: str
    limit: float
    is_lower_better: bool

    def missed(self, score: float | None, reason: str | None, subject: str) -> str | None:
        """Return a sentence if the score misses the limit; None if it does not. A score that does not exist misses it.

        reason: why the score does not exist, if that is known. subject: see missed_thresholds.
        """
        what = f"{_ABOVE if self.is_lower_better else _UNDER}: {self.name}"
        of_subject = f" of {subject}" if subject else ""
        if score is None:
            return f"{what}{of_subject} does not exist{f': {reason}' if reason else ''}"
        is_missed = score > self.limit if self.is_lower_better else score < self.limit
        side = "above" if self.is_lower_better else "below"
        return f"{what} {score:.4f}{of_subject} is {side} {self.limit:g}" if is_missed else None


def names_of(prefixes: Iterable[str] = ("",), *, others: Iterable[str] = ()) -> dict[str, bool]:
    """Return for every metric, with each prefix, whether lower is better. others: names for which higher is better."""
    found = {f"{prefix}{name}": info.is_lower_better for prefix in prefixes for name, info in METRICS.items()}
    return found | dict.fromkeys(others, False)


def parse_thresholds(
    under: Sequence[str], above: Sequence[str], is_lower_better: Mapping[str, bool]
) -> tuple[Threshold, ...]:
    """Return thresholds from texts like `accuracy=0.85`; of several with one name, the last.

    under and above: of the two options. is_lower_better: by the names that are allowed. UsageError for another name, a
    name that belongs to the other option, and a value that is not a number the score can reach.
    """
    given = [(_UNDER, text) for text in under] + [(_ABOVE, text) for text in above]
    found = (_parsed(option, text, is_lower_better) for option, text in given)
    return tuple({threshold.name: threshold for threshold in found}.values())


def _parsed(option: str, text: str, is_lower_better: Mapping[str, bool]) -> Threshold:
    name, _, number = text.partition("=")
    if name not in is_lower_better:
        raise UsageError(f"{option} {text}: {unknown_name('metric', name, list(is_lower_better))}")
    lower, example = is_lower_better[name], "0.3" if is_lower_better[name] else "0.85"
    expected_option = _ABOVE if lower else _UNDER
    if option != expected_option:
        better = "lower" if lower else "higher"
        raise UsageError(f"{option} {text}: {better} is better for {name}; use {expected_option} {name}={example}")
    try:
        value = float(number)
    except ValueError:
        value = -1.0
    if not 0 <= value <= (math.inf if lower else 1) or math.isinf(value):
        expected = "of 0 or more" if lower else "between 0 and 1"
        raise UsageError(f"{option} {text}: expected a number {expected}, e.g. {name}={example}")
    return Threshold(name, value, lower)


def missed_thresholds(
    thresholds: Sequence[Threshold], scores: Mapping[str, float | None], undefined: Mapping[str, str], subject: str = ""
) -> list[str]:
    """Return a sentence for each score that misses its threshold.

    undefined: why scores do not exist, by name. subject: what was scored, where a command scores several things, e.g.
    "torch lr=0.1".
    """
    found = (
        threshold.missed(scores.get(threshold.name), undefined.get(threshold.name), subject) for threshold in thresholds
    )
    return [text for text in found if text]


def check_thresholds(
    thresholds: Sequence[Threshold], scores: Mapping[str, float | None], undefined: Mapping[str, str]
) -> None:
    """ThresholdError naming every score that misses its threshold. undefined: see missed_thresholds."""
    missed = missed_thresholds(thresholds, scores, undefined)
    if missed:
        raise ThresholdError("\n".join(missed))
