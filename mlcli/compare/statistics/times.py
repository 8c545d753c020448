"""Whether two variants differ in time: paired by round, on ratios.

In a round every variant runs once, one after another, so that a machine that slows down slows all. What is compared
is the logarithm of the ratio of the two times of a round, by Student's paired t test; the interval, put back, is
one of the geometric mean of the ratios (Fleming and Wallace, Communications of the ACM 29, 1986, on why ratios are
averaged so).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlcli.compare.statistics.intervals import critical_t, smallest_enough, two_sided_p, variance


@dataclass(frozen=True)
class TimeRatio:
    """The time of one variant over that of another: geometric mean over rounds.

    low and high: the 95 % interval; None with one round, as is p_value, of a ratio of 1.
    log_deviation: standard deviation of the logarithms of the ratios.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_rounds: int
    log_deviation: float

    def rounds_needed(self, margin: float, confidence: float) -> int | None:
        """With how many rounds the same measurements would tell: different, or within the margin. None: with none.

        margin: 0.05 takes ratios between 1/1.05 and 1.05 for equal.
        """
        if self.n_rounds < 2 or self.log_deviation == 0:
            return None
        distance = abs(math.log(self.mean))
        room = max(distance, math.log1p(margin) - distance)

        def is_enough(n_rounds: int) -> bool:
            return two_sided_p(room / self.log_deviation * math.sqrt(n_rounds), n_rounds - 1) < 1 - confidence

        return smallest_enough(is_enough, self.n_rounds)


def time_ratio(seconds: Sequence[float], reference: Sequence[float]) -> TimeRatio:
    """`seconds` over `reference`, the two times of each round, all above 0; one round at least."""
    logs = [math.log(time / other) for time, other in zip(seconds, reference, strict=True)]
    n = len(logs)
    mean = math.fsum(logs) / n
    if n < 2:
        return TimeRatio(math.exp(mean), None, None, None, n, 0.0)
    deviation = math.sqrt(variance(logs))
    error = deviation / math.sqrt(n)
    half = critical_t(n - 1) * error
    p_value = two_sided_p(mean / error, n - 1) if error else float(mean == 0)
    return TimeRatio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), p_value, n, deviation)
