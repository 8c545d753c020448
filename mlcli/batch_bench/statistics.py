"""Statistics of repeated timings: the interval of a median, and which samples were disturbed.

On a shared machine the same work now and then takes twice as long, for milliseconds or for many seconds: medians of
whole series differed by up to 40 % between two runs. Therefore a speed probe, a short piece of work that is always the
same, is timed before and after every sample. A sample is disturbed if its probe took more than 10 % longer than the
fastest probes. Samples are selected by their probes alone, never by their own times, so work that varies by itself
keeps its variation. A disturbance that lasts from beginning to end is not detected.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import median

import numpy as np
from scipy.special import bdtr

MIN_SAMPLES = 6  # fewer have no 95 % interval of the median
_CONFIDENCE = 0.95
_FASTEST_QUANTILE = 0.01  # of all probes: not the very fastest, which may be luck
_PROBE_LIMIT = 1.10  # relative to the fastest probe


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return an interval that holds the median of the distribution with 95 % confidence; None below six values.

    The values must be independent; nothing is assumed about their distribution. Of n ordered values the k-th smallest
    and the k-th largest enclose the median with probability 1 - 2 P(B < k), B binomial with n trials and p = 1/2
    (David and Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1); k is the largest that keeps 95 %.
    """
    k = _rank(len(values))
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[-k]


@lru_cache
def _rank(n: int) -> int:
    """Return the largest k with P(B < k) <= (1 - confidence) / 2; 0 if there is none."""
    probabilities = bdtr(np.arange(n), n, 0.5)  # P(B <= 0), P(B <= 1), ...
    return int(np.searchsorted(probabilities, (1 - _CONFIDENCE) / 2, side="right"))


def is_median_within(values: Sequence[float], tolerance: float) -> bool:
    """Return whether both ends of the 95 % interval are within a fraction `tolerance` of the median."""
    interval = median_interval(values)
    if interval is None:
        return False
    middle = median(values)
    return max(middle - interval[0], interval[1] - middle) <= tolerance * abs(middle)


def fastest_probe(probes: Iterable[float]) -> float:
    """Return the seconds of the speed probe on an undisturbed machine; 0 without any probe."""
    seconds = list(probes)
    return float(np.quantile(seconds, _FASTEST_QUANTILE)) if seconds else 0.0


def disturbed_marks(probes: Iterable[float], fastest: float) -> list[bool]:
    """Return for each sample whether its speed probe was too slow. fastest: the fastest probe of the engine."""
    return [seconds > _PROBE_LIMIT * fastest for seconds in probes]


def least_disturbed(samples: Sequence[float], probes: Sequence[float], fastest: float) -> list[float]:
    """Return the undisturbed samples; if there are fewer than six, those with the fastest probes."""
    ordered = sorted(probes)
    limit = max(_PROBE_LIMIT * fastest, ordered[min(MIN_SAMPLES, len(ordered)) - 1])
    return [seconds for seconds, probe in zip(samples, probes, strict=True) if probe <= limit]
