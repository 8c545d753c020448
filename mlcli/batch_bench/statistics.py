"""Quantiles, and an interval of the median: statistics of repeated timings. Pure: numbers in, numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of the values lies, by linear interpolation between the two nearest.

    share: 0 the smallest, 0.5 the median, 1 the largest. values: at least one, in any order.
    This is type 7 of Hyndman and Fan, "Sample quantiles in statistical packages", The American Statistician 50 (1996),
    and numpy's default.
    """
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


def median(values: Sequence[float]) -> float:
    """The middle value; the mean of the two middle ones where their number is even."""
    return quantile(values, 0.5)


def interquartile_range(values: Sequence[float]) -> float:
    """The distance between the quartiles: half of the values lie within it."""
    return quantile(values, 0.75) - quantile(values, 0.25)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """An interval that holds the median of the distribution with at least the given confidence; None for too few.

    It assumes independent values and nothing of their distribution. Of n ordered values the k-th smallest and the
    k-th largest enclose the median with probability 1 - 2 P(B < k), B binomial with n trials and p = 1/2 (David and
    Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1); k is the largest that keeps the confidence. At 95 %
    this takes at least 6 values.
    """
    k = _rank(len(values), confidence)
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[-k]


def _rank(n: int, confidence: float) -> int:
    """The largest k with P(B < k) at most (1 - confidence) / 2; 0 where there is none."""
    # Whole numbers: of the 2^n equally likely patterns of above and below, this many may fall outside on either side.
    n_outside = Fraction(1 - confidence).limit_denominator(10**9) / 2 * 2**n
    k, n_ways, n_patterns = 0, 1, 1
    while n_patterns <= n_outside:
        k += 1
        n_ways = n_ways * (n - k + 1) // k
        n_patterns += n_ways
    return k


def is_median_within(values: Sequence[float], tolerance: float, confidence: float = 0.95) -> bool:
    """Whether both ends of the interval of the median are within a share `tolerance` of the median."""
    interval = median_interval(values, confidence)
    if interval is None:
        return False
    middle = median(values)
    return max(middle - interval[0], interval[1] - middle) <= tolerance * abs(middle)
