"""Interval, p value and power of a mean whose error has several sources, each estimated with its own precision.

Satterthwaite's single number of degrees of freedom rejects too often if one source is estimated from two or three
values. Banerjee's interval (Sankhya 22, 1960) does not: mean ± sqrt(sum of t_k ** 2 * variance_k), where t_k is the
quantile of Student's t with the degrees of freedom of source k. It misses the true mean with a probability of at most
alpha, whatever the true variances are, because P(chi-squared with 1 degree of freedom <= x) is a concave function of x.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from scipy.special import nctdtrinc, stdtrit

_POWER = 0.8
_SMALLEST_P = 1e-100


class ErrorPart(NamedTuple):
    """The variance that one source of error adds to a mean, and the degrees of freedom of its estimate."""

    variance: float
    degrees_of_freedom: float


def half_width(parts: Sequence[ErrorPart], alpha: float) -> float:
    """Return half of the width of Banerjee's two-sided interval with confidence 1 - alpha."""
    return math.sqrt(sum(part.variance * float(stdtrit(part.degrees_of_freedom, alpha / 2)) ** 2 for part in parts))


def two_sided_p_value(mean: float, parts: Sequence[ErrorPart]) -> float:
    """Return the smallest alpha whose interval excludes 0, found by bisection; p values below 1e-100 are 1e-100."""
    if not any(part.variance for part in parts):
        return float(mean == 0)
    low, high = math.log(_SMALLEST_P), 0.0
    for _ in range(60):
        middle = (low + high) / 2
        if half_width(parts, math.exp(middle)) < abs(mean):
            high = middle
        else:
            low = middle
    return math.exp(high)


def detectable_distance(parts: Sequence[ErrorPart], alpha: float) -> float:
    """Return the distance of the true mean from 0 at which the p value is below alpha with 80 % probability.

    For one part, this is exact: the noncentrality at which noncentral t exceeds the critical value with that
    probability (Johnson and Welch, Biometrika 31, 1940). Parts are combined as in the interval.
    """
    return math.sqrt(sum(part.variance * _noncentrality(part.degrees_of_freedom, alpha) ** 2 for part in parts))


def _noncentrality(degrees_of_freedom: float, alpha: float) -> float:
    critical = float(stdtrit(degrees_of_freedom, 1 - alpha / 2))
    return float(nctdtrinc(degrees_of_freedom, 1 - _POWER, critical))
