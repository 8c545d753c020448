"""Whether two variants differ in time: paired by round, on ratios.

Cells run in rounds: every variant once with one seed, then every variant with the next, so that a machine that slows
down slows all variants; their order within a round changes (`matrix.running_order`). Compared is the logarithm of the
ratio of the two times of a round, by Student's paired t test.
Transformed back, its interval is one of the geometric mean of the ratios (for averaging ratios this way see Fleming and
Wallace, Communications of the ACM 29, 1986).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from mlcli.compare.statistics.intervals import critical_t, smallest_sufficient, two_sided_p


@dataclass(frozen=True)
class TimeRatio:
    """The time of one variant divided by that of another: geometric mean over rounds.

    low and high: the 95 % confidence interval. p_value: of the hypothesis that the ratio is 1. All three are None with
    fewer than three rounds. log_deviation: standard deviation of the logarithms of the ratios.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_rounds: int
    log_deviation: float

    def is_within(self, margin: float) -> bool:
        """Return whether the interval lies within the margin; 0.05 counts ratios between 1/1.05 and 1.05 as equal."""
        if self.low is None or self.high is None:
            return False
        return 1 / (1 + margin) <= self.low and self.high <= 1 + margin

    def runs_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many seeds would show a difference, or a tie within the margin, if the deviation stayed the same.

        margin: 0.05 counts ratios between 1/1.05 and 1.05 as equal. confidence: see AccuracyDifference.runs_needed.
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
    """Return `seconds` divided by `reference`, the two times of each round; all above 0, at least one round."""
    logs = [math.log(time / other) for time, other in zip(seconds, reference, strict=True)]
    n = len(logs)
    mean = fmean(logs)
    if n < 2:
        return TimeRatio(math.exp(mean), None, None, None, n, 0.0)
    deviation = stdev(logs)
    if n < 3:  # an interval from two values is wider than anything believable
        return TimeRatio(math.exp(mean), None, None, None, n, deviation)
    error = deviation / math.sqrt(n)
    half_width = critical_t(n - 1) * error
    p_value = two_sided_p(mean / error, n - 1) if error else float(mean == 0)
    return TimeRatio(math.exp(mean), math.exp(mean - half_width), math.exp(mean + half_width), p_value, n, deviation)
