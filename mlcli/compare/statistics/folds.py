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
therefore at least that of a test of all test samples: of accuracy, McNemar's exact test; of other metrics, a t test of
the pseudo-values (see scores). The ends of the interval are at least Wilson's. Both treat the samples as independent.
Samples of a group are not, so with groups, s**2 alone decides, and where it is 0, nothing is concluded. Repeats of few
groups do not make s**2 more precise either: it then has min(J, K) - 1 degrees of freedom, because with J - 1, two
repeats of 20 groups call up to 8 % of equally good models different (simulated in the same file).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from mlcli.compare.statistics import ACCURACY_MARGIN, ALPHA, MIN_FOR_INTERVAL
from mlcli.compare.statistics.accuracy import interval, score_end
from mlcli.compare.statistics.error_parts import ErrorPart, detectable_distance, half_width, two_sided_p_value
from mlcli.compare.statistics.intervals import smallest_sufficient
from mlcli.compare.statistics.scores import effective_number

_NO_ERROR = ErrorPart(0.0, math.inf)


@dataclass(frozen=True)
class DifferingSamples:
    """What the test samples of one repeat say about two variants, on average over repeats and seeds."""

    n_samples: int  # in the test parts of one repeat
    n_differing: int  # number of these on which the two differ; an effective number, except for accuracy
    p_value: float  # two-sided, of the hypothesis of no difference
    n_bounding: int | None = None  # samples in the bounds of Wilson's interval; None: no bounds
    are_dependent: bool = False  # those of a group, or of a time series

    @classmethod
    def of_answers(cls, n_samples: int, n_higher: float, n_lower: float) -> Self:
        """Return what McNemar's exact test says of right and wrong answers, in whole numbers of samples.

        n_higher, n_lower: on how many samples the variant alone, and the reference alone, is right.
        """
        n_fewer, n_tested = round(min(n_higher, n_lower)), round(n_higher) + round(n_lower)
        p_value = min(1.0, 2 * float(bdtr(n_fewer, n_tested, 0.5)))
        return cls(n_samples, math.ceil(n_higher + n_lower), p_value, n_samples)

    @classmethod
    def of_values(cls, n_samples: int, differences: NDArray[np.float64], n_bounding: int | None) -> Self:
        """Return what a t test says of the differences of pseudo-values, those of all repeats and seeds; see scores."""
        mean = float(differences.mean())
        n_effective = math.ceil(effective_number(differences - mean) * n_samples / len(differences))
        part = ErrorPart(float(differences.var(ddof=1)) / n_samples, max(n_effective - 1, 1))
        n_differing = n_effective if differences.any() else 0
        return cls(n_samples, n_differing, two_sided_p_value(mean, [part]), n_bounding)


@dataclass(frozen=True)
class FoldsDifference:
    """The score of one variant minus that of another, as a mean over the folds of all repeats.

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
    margin: float = ACCURACY_MARGIN  # the difference within which the variants are a tie
    n_bounding_samples: int | None = None  # see DifferingSamples
    has_dependent_samples: bool = False

    @property
    def n_bounding(self) -> float:
        return self.n_bounding_samples or math.inf

    def is_within(self, margin: float) -> bool:
        """Return whether the difference is shown to be smaller than the margin; see AccuracyDifference.is_within.

        Of a metric without bounds, equal values of 299 samples are a tie: at most 1 % of all samples may differ.
        """
        if self.low is None or self.high is None or (self.has_dependent_samples and self.variance == 0):
            return False
        if self.n_differing == 0:
            margin = margin if self.n_bounding_samples else ACCURACY_MARGIN
            return bool((1 - margin) ** (self.n_bounding_samples or self.n_samples) <= ALPHA)
        return -margin <= self.low and self.high <= margin

    def runs_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many runs of each variant, in whole repeats, would show a difference, or a tie within the margin.

        The same mean and variance of the differences are assumed. None if 10,000 repeats would not suffice, because
        there are not enough samples, and with one difference. margin, confidence: see AccuracyDifference.runs_needed.
        """
        if self.n_differences < 2 or (self.has_dependent_samples and self.variance == 0):
            return None
        distance = abs(self.mean)
        samples = [ErrorPart(max(distance * (1 - distance), 0.0) / self.n_bounding, math.inf)]

        def is_sufficient(n_repeats: int) -> bool:
            parts = _parts(self.variance, n_repeats * self.n_folds, self.n_folds, self.has_dependent_samples)
            low, high = interval(self.mean, (_NO_ERROR, *parts), self.n_bounding)
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
        of_floor = detectable_distance([ErrorPart(1 / self.n_bounding, math.inf)], 1 - confidence) ** 2
        parts = _parts(self.variance, self.n_differences, self.n_folds, self.has_dependent_samples)
        return max(detectable_distance(parts, 1 - confidence), score_end(0.0, 0.0, of_floor))


def folds_difference(
    differences: Sequence[float],
    samples: DifferingSamples,
    n_folds: int,
    n_runs: int,
    *,
    margin: float = ACCURACY_MARGIN,
    limit: float = 1.0,
) -> FoldsDifference:
    """Return the mean of the differences of two variants, one for each fold of each repeat, with interval and p value.

    n_folds: the number of parts into which the samples were divided; not all of them need to be present. n_runs: of
    each variant, several for each difference if that is a mean over seeds. margin: see FoldsDifference. limit: the
    largest possible difference.
    """
    n, mean = len(differences), fmean(differences)
    n_bounding = None if samples.are_dependent else samples.n_bounding
    of_samples = (margin, n_bounding, samples.are_dependent)
    common = (n_folds, n, n_runs, samples.n_samples, samples.n_differing)
    if n < 2:
        return FoldsDifference(mean, None, None, None, *common, 0.0, *of_samples)
    between = variance(differences)
    parts = _parts(between, n, n_folds, samples.are_dependent)
    unknown = samples.are_dependent and between == 0
    p_value = 1.0 if unknown else max(two_sided_p_value(mean, parts), samples.p_value)
    low, high = None, None
    if n >= MIN_FOR_INTERVAL:
        low, high = interval(mean, (_NO_ERROR, *parts), n_bounding or math.inf, limit)
        if p_value >= ALPHA:
            low, high = min(low, 0.0), max(high, 0.0)
    return FoldsDifference(mean, low, high, p_value, *common, between, *of_samples)


def variance_factor(n: int, n_folds: int) -> float:
    """Return by what the variance of n scores, one for each fold of each repeat, exceeds that of their mean."""
    return 1 / min(n, n_folds) + 1 / (n_folds - 1)


def _parts(between: float, n: int, n_folds: int, has_dependent_samples: bool) -> tuple[ErrorPart]:
    degrees_of_freedom = (min(n, n_folds) if has_dependent_samples else n) - 1
    return (ErrorPart(between * variance_factor(n, n_folds), degrees_of_freedom),)
