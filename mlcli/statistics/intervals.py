"""The mean of repeated runs, with an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlcli.statistics.student_t import critical_t


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95 % interval; no bounds where there is a single value."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Sequence[float]) -> MeanInterval:
    """The mean of one value or more, with the interval of Student (Biometrika 6, 1908) for what they vary about."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return MeanInterval(mean, None, None, n)
    half = critical_t(n - 1) * math.sqrt(variance(values) / n)
    return MeanInterval(mean, mean - half, mean + half, n)


def variance(values: Sequence[float]) -> float:
    """The unbiased variance of two values or more."""
    mean = math.fsum(values) / len(values)
    return math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
