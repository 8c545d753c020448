"""Whether two variants differ, from the scores of both on the test parts of repeated cross-validation.

The question is about models that are trained on other samples of this size from the same source, with other seeds. The
folds cover the samples at hand once in each repeat, but their training sets overlap, and repeats have the same samples
again: the J differences of two variants, one for each fold of each repeat, are correlated, and Student's t test of them
finds far too many differences. Nadeau and Bengio (Machine Learning 52, 2003) correct the variance of the mean by the
correlation that overlapping training sets are expected to cause, the fraction of the samples in a test part:

    variance of the mean = (1 / min(J, K) + 1 / (K - 1)) * s**2

s**2 is the variance of the J differences with J - 1 degrees of freedom, and 1 / (K - 1) the ratio of test samples to
other samples. The first term differs from theirs, 1 / J: with it, ten repeats call up to 11 % of equally good nearest
neighbour models different (simulated in tests/compare/statistics/test_fold_error_rates.py), because repeats do not
bring new samples. Here, repeats make s**2 more precise and average the luck of a division, but do not count as samples.

A few differing samples that happen to be spread evenly over the folds make s**2 too small, even 0. The p value is
therefore at least that of McNemar's test of all test samples, and the ends of the interval are at least Wilson's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from scipy.special import bdtr, ndtri

from mlcli.compare.statistics import ALPHA, MIN_FOR_INTERVAL
from mlcli.compare.statistics.accuracy import score_end
from mlcli.compare.statistics.error_parts import ErrorPart, detectable_distance, half_width, two_sided_p_value
from mlcli.compare.statistics.intervals import smallest_sufficient


@dataclass(frozen=True)
class DifferingSamples:
    """On how many test samples exactly one of two variants is right, on average over repeats and seeds."""

    n_samples: int  # in the test parts of one repeat
    n_higher: float  # the variant alone is right
    n_lower: float  # the reference alone is right

    @property
    def p_value(self) -> float:
        """The two-sided p value of McNemar's exact test of whole numbers of samples."""
        n_lower, n_higher = round(self.n_lower), round(self.n_higher)
        return min(1.0, 2 * float(bdtr(min(n_lower, n_higher), n_lower + n_higher, 0.5)))


@dataclass(frozen=True)
class FoldsDifference:
    """The score of one variant minus that of another, a fraction, as a mean over the folds of all repeats.

    low and high: the 95 % confidence interval; None with fewer than three differences. p_value: of the hypothesis of no
    difference; None with one. The variance of the mean is variance * (1 / min(n_differences, n_folds) + 1 / (n_folds -
    1)).
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_folds: int  # parts into which the samples are divided
    n_differences: int  # one for each fold of each repeat; means over seeds
    n_runs: int  # of each variant
    n_samples: int  # test samples in one repeat
    n_differing: int  # number of these on which the two differ, on average
    variance: float  # of the differences

    def is_within(self, margin: float) -> bool:
        """Return whether the difference is shown to be smaller than the margin; see AccuracyDifference.is_within."""
        if self.low is None or self.high is None:
            return False
        if self.n_differing == 0:
            return bool((1 - margin) ** self.n_samples <= ALPHA)
        return -margin <= self.low and self.high <= margin

    def runs_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many runs of each variant, in whole repeats, would show a difference, or a tie within the margin.

        The same mean and variance of the differences are assumed. None if 10,000 repeats would not suffice, because
        there are not enough samples, and with one difference. margin, confidence: see AccuracyDifference.runs_needed.
        """
        if self.n_differences < 2:
            return None
        distance = abs(self.mean)
        samples = [ErrorPart(distance * (1 - distance) / self.n_samples, math.inf)]

        def is_sufficient(n_repeats: int) -> bool:
            parts = _parts(self.variance, n_repeats * self.n_folds, self.n_folds)
            low, high = _interval(self.mean, parts, self.n_samples)
            width = max(half_width(parts, 1 - confidence), half_width(samples, 1 - confidence))
            return distance > width or -margin <= low <= high <= margin

        n_repeats = smallest_sufficient(is_sufficient, self.n_differences // self.n_folds)
        return n_repeats and n_repeats * self.n_folds * max(self.n_runs // self.n_differences, 1)

    def detectable(self, confidence: float) -> float | None:
        """Return the smallest true difference that would have been found with 80 % probability.

        confidence: see AccuracyDifference.runs_needed. None with fewer than three differences.
        """
        if self.n_differences < MIN_FOR_INTERVAL:
            return None
        of_floor = detectable_distance([ErrorPart(1 / self.n_samples, math.inf)], 1 - confidence) ** 2
        parts = _parts(self.variance, self.n_differences, self.n_folds)
        return max(detectable_distance(parts, 1 - confidence), score_end(0.0, 0.0, of_floor))


def folds_difference(
    differences: Sequence[float], samples: DifferingSamples, n_folds: int, n_runs: int
) -> FoldsDifference:
    """Return the mean of the differences of two variants, one for each fold of each repeat, with interval and p value.

    n_folds: the number of parts into which the samples were divided; not all of them need to be present. n_runs: of
    each variant, several for each difference if that is a mean over seeds.
    """
    n, mean = len(differences), fmean(differences)
    n_differing = math.ceil(samples.n_higher + samples.n_lower)
    if n < 2:
        return FoldsDifference(mean, None, None, None, n_folds, n, n_runs, samples.n_samples, n_differing, 0.0)
    between = variance(differences)
    parts = _parts(between, n, n_folds)
    p_value = max(two_sided_p_value(mean, parts), samples.p_value)
    low, high = _interval(mean, parts, samples.n_samples) if n >= MIN_FOR_INTERVAL else (None, None)
    if p_value >= ALPHA and low is not None and high is not None:
        low, high = min(low, 0.0), max(high, 0.0)
    return FoldsDifference(mean, low, high, p_value, n_folds, n, n_runs, samples.n_samples, n_differing, between)


def variance_factor(n: int, n_folds: int) -> float:
    """Return by what the variance of n scores, one for each fold of each repeat, exceeds that of their mean."""
    return 1 / min(n, n_folds) + 1 / (n_folds - 1)


def _parts(between: float, n: int, n_folds: int) -> list[ErrorPart]:
    return [ErrorPart(between * variance_factor(n, n_folds), n - 1)]


def _interval(mean: float, parts: Sequence[ErrorPart], n_samples: int) -> tuple[float, float]:
    """Return the 95 % confidence interval; see the interval of AccuracyDifference."""
    width, of_floor = half_width(parts, ALPHA), float(ndtri(ALPHA / 2)) ** 2 / n_samples

    def end(mean: float) -> float:
        plain = mean + width
        return plain if plain < 0 else min(max(plain, score_end(mean, 0.0, of_floor)), 1.0)

    return -end(-mean), end(mean)
