"""Whether two variants differ in time: paired by seed, on ratios.

Cells run in rounds: every variant once with one seed, then every variant with the next, so that a machine that slows
down slows all variants. Compared is the logarithm of the ratio of the two times of a seed, by Student's paired t test.
Transformed back, its interval is one of the geometric mean of the ratios (for averaging ratios this way see Fleming and
Wallace, Communications of the ACM 29, 1986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mlcli.compare.statistics import MIN_FOR_INTERVAL, critical_t, smallest_sufficient, two_sided_p


@dataclass(frozen=True)
class TimeRatio:
    """The time of one variant divided by that of another: geometric mean over seeds.

    low and high: the 95 % confidence interval; None with fewer than three seeds. p_value: of the hypothesis that the
    ratio is 1; None with one seed. log_deviation: standard deviation of the logarithms of the ratios.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_rounds: int
    log_deviation: float

    def seeds_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many seeds would show a difference, or a tie within the margin, if the deviation stayed the same.

        margin: 0.05 counts ratios between 1/1.05 and 1.05 as equal. confidence: see AccuracyDifference.seeds_needed.
        None if 10,000 seeds would not suffice, and with one seed.
        """
        if self.n_rounds < 2 or self.log_deviation == 0:
            return None
        log_ratio = abs(math.log(self.mean))
        distance = max(log_ratio, math.log1p(margin) - log_ratio)

        def is_sufficient(n_seeds: int) -> bool:
            return two_sided_p(distance / self.log_deviation * math.sqrt(n_seeds), n_seeds - 1) < 1 - confidence

        return smallest_sufficient(is_sufficient, self.n_rounds)


def time_ratio(seconds: Sequence[float], reference: Sequence[float]) -> TimeRatio:
    """Return `seconds` divided by `reference`, the two times of each seed; all above 0, at least one seed."""
    logs = [math.log(time / other) for time, other in zip(seconds, reference, strict=True)]
    n = len(logs)
    mean = fmean(logs)
    if n < 2:
        return TimeRatio(math.exp(mean), None, None, None, n, 0.0)
    deviation = stdev(logs)
    error = deviation / math.sqrt(n)
    half_width = critical_t(n - 1) * error
    p_value = two_sided_p(mean / error, n - 1) if error else float(mean == 0)
    low, high = (math.exp(mean - half_width), math.exp(mean + half_width)) if n >= MIN_FOR_INTERVAL else (None, None)
    return TimeRatio(math.exp(mean), low, high, p_value, n, deviation)
