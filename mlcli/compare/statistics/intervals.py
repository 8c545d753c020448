"""The mean of repeated runs, with an interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist


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


_MOST = 10_000


def smallest_enough(is_enough: Callable[[int], bool], more_than: int) -> int | None:
    """The smallest number above `more_than` that is enough; None where ten thousand are not.

    is_enough must stay true once it is true.
    """
    if not is_enough(_MOST):
        return None
    low, high = more_than, more_than + 1
    while not is_enough(high):
        low, high = high, min(_MOST, high * 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


_TINY = 1e-300
_MOST_TERMS = 2000
_NORMAL_FROM = 1e7  # degrees of freedom from which the normal distribution is the same to ten digits


def two_sided_p(t: float, degrees_of_freedom: float) -> float:
    """The probability of a value at least as far from 0 as t."""
    if math.isinf(t):
        return 0.0
    if degrees_of_freedom > _NORMAL_FROM:
        return math.erfc(abs(t) / math.sqrt(2))
    x = degrees_of_freedom / (degrees_of_freedom + t * t)
    return _incomplete_beta(degrees_of_freedom / 2, 0.5, x)


def critical_t(degrees_of_freedom: float, confidence: float = 0.95) -> float:
    """The value that |t| stays below with the given probability."""
    alpha = 1 - confidence
    if degrees_of_freedom > _NORMAL_FROM:
        return NormalDist().inv_cdf(1 - alpha / 2)
    low, high = 0.0, 2.0
    while two_sided_p(high, degrees_of_freedom) > alpha:
        low, high = high, high * 2
    for _ in range(60):
        middle = (low + high) / 2
        if two_sided_p(middle, degrees_of_freedom) > alpha:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by its continued fraction (NIST DLMF 8.17.22)."""
    if x <= 0 or x >= 1:
        return min(max(x, 0.0), 1.0)
    if x > (a + 1) / (a + b + 2):
        return 1 - _incomplete_beta(b, a, 1 - x)
    log_front = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(log_front) / (a * _continued_fraction(a, b, x))


def _continued_fraction(a: float, b: float, x: float) -> float:
    """1 + d1/(1 + d2/(1 + ...)), by the modified Lentz algorithm (Thompson and Barnett, J. Comput. Phys. 64, 1986)."""
    value = numerator = 1.0
    denominator = 0.0
    for term in range(1, _MOST_TERMS):
        coefficient = _coefficient(term, a, b, x)
        denominator = 1 / _not_zero(1 + coefficient * denominator)
        numerator = _not_zero(1 + coefficient / numerator)
        value *= numerator * denominator
        if abs(numerator * denominator - 1) < 1e-15:
            break
    return value


def _coefficient(term: int, a: float, b: float, x: float) -> float:
    m = term // 2
    if term % 2 == 0:
        return m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
    return -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))


def _not_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
