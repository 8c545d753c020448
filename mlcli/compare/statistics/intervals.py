"""Student's t distribution, and the mean of repeated runs with its confidence interval."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import stdtr, stdtrit

from mlcli.compare.statistics import MIN_FOR_INTERVAL

_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class MeanInterval:
    """A mean with its 95 % confidence interval; low and high are None for fewer than three values."""

    mean: float
    low: float | None
    high: float | None
    n_runs: int


def mean_interval(
    values: Sequence[float], highest: float = math.inf, variance_factor: float | None = None
) -> MeanInterval:
    """Return the mean of one or more values with Student's 95 % confidence interval (Biometrika 6, 1908).

    The values are from 0 to `highest`; the part of the interval outside this range is cut off. variance_factor: the
    variance of the mean in units of that of the values; None: 1 / n, that of independent values.
    """
    n = len(values)
    mean = fmean(values)
    if n < MIN_FOR_INTERVAL:
        return MeanInterval(mean, None, None, n)
    half_width = critical_t(n - 1) * math.sqrt(variance(values) * (variance_factor or 1 / n))
    return MeanInterval(mean, max(mean - half_width, 0.0), min(mean + half_width, highest), n)


def two_sided_p(t: float, degrees_of_freedom: float) -> float:
    """Return the probability that Student's t is at least as far from 0 as `t`."""
    return 2 * float(stdtr(degrees_of_freedom, -abs(t)))


def critical_t(degrees_of_freedom: float, confidence: float = 0.95) -> float:
    """Return the value that |t| stays below with probability `confidence`."""
    return float(stdtrit(degrees_of_freedom, (1 + confidence) / 2))


def smallest_sufficient(is_sufficient: Callable[[int], bool], more_than: int) -> int | None:
    """Return the smallest number of seeds above `more_than` that is sufficient; None if 10,000 are not.

    is_sufficient must stay true once it is true.
    """
    candidates = range(more_than + 1, _MOST_SEEDS + 1)
    index = bisect_left(candidates, True, key=is_sufficient)
    return candidates[index] if index < len(candidates) else None
