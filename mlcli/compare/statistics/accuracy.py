"""Whether two variants differ in accuracy: paired over seeds and over test samples.

All variants are trained with the same seeds and scored on the same test samples, so the difference of two variants is a
table of -1, 0 and 1 with a row per seed and a column per sample. Seeds and samples are both random: other seeds and
other samples would have given other numbers. Readers and cases in diagnostic studies pose the same problem, and its
solution is used here: analysis of variance with two crossed random factors (Dorfman, Berbaum and Metz, Investigative
Radiology 27, 1992; Hillis, Statistics in Medicine 26, 2007):

    variance of the mean = (max(MS_seeds, MS_rest) + max(MS_samples - MS_rest, 0)) / (n_seeds * n_samples)

MS_rest is estimated from many samples. It bounds MS_seeds from below, because seeds cannot reduce the variance; without
this bound, a few seeds with accidentally similar results would suggest certainty. The two parts are estimated with
n_seeds - 1 and n_differing - 1 degrees of freedom and combined by Banerjee's interval (see error_parts). n_differing is
the number of test samples on which the two variants differ: two good models differ on few samples, and only these carry
information.

A few differing samples underestimate the variance, and none would make it 0. The ends of the interval that are on the
far side of the mean, or of 0, are therefore at least those of Wilson's score interval (Journal of the American
Statistical Association 22, 1927): a true difference d requires that at least a fraction |d| of the samples differ, so
that the variance between samples is at least |d| * (1 - |d|).

A single seed gives no estimate of the variation between seeds. Only McNemar's test (Psychometrika 12, 1947) remains, in
its exact form; it is about the two trained models, not about their configurations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, ndtri

from mlcli.compare.statistics import ALPHA, MIN_FOR_INTERVAL
from mlcli.compare.statistics.error_parts import ErrorPart, detectable_distance, half_width, two_sided_p_value
from mlcli.compare.statistics.intervals import smallest_sufficient


@dataclass(frozen=True)
class AccuracyDifference:
    """The accuracy of one variant minus that of another, as a fraction.

    low and high: the 95 % confidence interval; None with fewer than three seeds. p_value: of the hypothesis of no
    difference; None with one seed. The variance of the mean is seed_variance / n_seeds + sample_variance.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_seeds: int
    n_samples: int
    n_differing: int  # number of test samples on which the two differ on average over seeds
    seed_variance: float
    sample_variance: float

    @property
    def n_bounding(self) -> float:
        """The number of samples in the bounds of Wilson's interval."""
        return self.n_samples

    def is_within(self, margin: float) -> bool:
        """Return whether the difference is shown to be smaller than the margin, a fraction: a tie.

        That is, the interval lies within the margin; or no prediction differs, and (1 - margin)**n_samples, the largest
        probability of that if the true difference were the margin, is at most 5 %.
        """
        if self.low is None or self.high is None:
            return False
        if self.mean == self.seed_variance == self.sample_variance == 0:
            return bool((1 - margin) ** self.n_bounding <= ALPHA)
        return -margin <= self.low and self.high <= margin

    def runs_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many seeds would show a difference, or a tie within the margin, if the variances stayed the same.

        margin: a fraction, within which the 95 % interval of a tie lies. confidence: that of the interval which must
        exclude 0 for a difference. None if 10,000 seeds would not suffice, because there are not enough test samples,
        and with one seed.
        """
        if self.n_seeds < 2:
            return None

        alpha, distance = 1 - confidence, abs(self.mean)
        # If few samples differ, their variance is underestimated; see the bound of Wilson's interval.
        of_floor = half_width([ErrorPart(max(distance * (1 - distance), 0.0) / self.n_bounding, math.inf)], alpha)

        def is_sufficient(n_seeds: int) -> bool:
            parts = self._parts(n_seeds)
            low, high = interval(self.mean, parts, self.n_bounding)
            return distance > max(half_width(parts, alpha), of_floor) or -margin <= low <= high <= margin

        return smallest_sufficient(is_sufficient, self.n_seeds)

    def detectable(self, confidence: float) -> float | None:
        """Return the smallest true difference, a fraction, that would have been found with 80 % probability.

        confidence: see runs_needed. None with fewer than three seeds.
        """
        if self.n_seeds < MIN_FOR_INTERVAL:
            return None
        alpha = 1 - confidence
        seeds, samples = self._parts(self.n_seeds)
        of_seeds = detectable_distance([seeds], alpha) ** 2
        of_floor = detectable_distance([ErrorPart(1 / self.n_bounding, math.inf)], alpha) ** 2
        return max(detectable_distance([seeds, samples], alpha), score_end(0.0, of_seeds, of_floor))

    def _parts(self, n_seeds: int) -> tuple[ErrorPart, ErrorPart]:
        return error_parts(self.seed_variance, self.sample_variance, n_seeds, self.n_differing)


def accuracy_difference(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> AccuracyDifference:
    """Return the accuracy of `correct` minus that of `reference`, with its interval and p value.

    correct, reference: bool (n_seeds, n_samples), whether the variant with that seed was right on that sample. Rows
    are the same seeds and columns the same samples in both; n_samples is at least 2.
    """
    difference = correct.astype(np.int8) - reference.astype(np.int8)
    n_seeds, n_samples = difference.shape
    mean = float(difference.mean())
    n_differing = int(np.count_nonzero(difference.sum(axis=0)))
    if n_seeds < 2:
        return AccuracyDifference(mean, None, None, None, 1, n_samples, n_differing, 0.0, 0.0)
    variances = variance_components(difference)
    parts = error_parts(*variances, n_seeds, n_differing)
    low, high = interval(mean, parts, n_samples) if n_seeds >= MIN_FOR_INTERVAL else (None, None)
    p_value = two_sided_p_value(mean, parts)
    return AccuracyDifference(mean, low, high, p_value, n_seeds, n_samples, n_differing, *variances)


def error_parts(
    seed_variance: float, sample_variance: float, n_seeds: int, n_differing: int
) -> tuple[ErrorPart, ErrorPart]:
    """Return the two sources of error of the mean: seeds and samples."""
    return ErrorPart(seed_variance / n_seeds, n_seeds - 1), ErrorPart(sample_variance, max(n_differing - 1, 1))


def interval(
    mean: float, parts: tuple[ErrorPart, ErrorPart], n_samples: float, limit: float = 1.0
) -> tuple[float, float]:
    """Return the 95 % confidence interval; it excludes 0 exactly if the p value is below 0.05.

    n_samples: of the bounds of Wilson's interval; infinite: there are none. limit: the largest possible difference.
    """
    width = half_width(parts, ALPHA)
    of_seeds = half_width(parts[:1], ALPHA) ** 2
    of_floor = float(ndtri(ALPHA / 2)) ** 2 / n_samples

    def end(mean: float) -> float:
        """Return the upper end of the interval of a mean."""
        plain = mean + width
        return plain if plain < 0 else min(max(plain, score_end(mean, of_seeds, of_floor)), limit)

    return -end(-mean), end(mean)


def score_end(mean: float, constant: float, slope: float) -> float:
    """Return the larger root d of (d - mean)**2 = constant + slope * d * (1 - d); the mean if there is none.

    With constant 0 and slope z**2 / n, it is the upper end of Wilson's score interval.
    """
    half = mean + slope / 2
    discriminant = half**2 - (1 + slope) * (mean**2 - constant)
    return (half + math.sqrt(discriminant)) / (1 + slope) if discriminant >= 0 else mean


def variance_components(difference: NDArray[np.int8] | NDArray[np.float64]) -> tuple[float, float]:
    """Return max(MS_seeds, MS_rest) / n_samples, and max(MS_samples - MS_rest, 0) / (n_seeds * n_samples)."""
    of_seeds, of_samples, rest = mean_squares(difference)
    return max(of_seeds, rest) / difference.shape[1], max(of_samples - rest, 0.0) / difference.size


def mean_squares(table: NDArray[np.int8] | NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the mean squares of rows, columns and rest of a table with two or more rows and columns.

    A table of integers has only -1, 0 and 1.

    Analysis of variance of two crossed factors with one value per cell (Scheffé, The Analysis of Variance, 1959, 4.2).
    """
    n_rows, n_columns = table.shape
    mean = float(table.mean())
    rows = n_columns * float(np.square(table.mean(axis=1) - mean).sum())
    columns = n_rows * float(np.square(table.mean(axis=0) - mean).sum())
    squares = float(np.count_nonzero(table) if table.dtype.kind == "i" else np.square(table).sum())
    rest = max(squares - table.size * mean * mean - rows - columns, 0.0)
    return rows / (n_rows - 1), columns / (n_columns - 1), rest / ((n_rows - 1) * (n_columns - 1))


def mcnemar_p(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return the two-sided p value of McNemar's exact test that two models err equally often; both bool (n_samples,).

    Only the samples that exactly one model gets right count: under the hypothesis, it is either model with equal
    probability.
    """
    return min(1.0, 2 * min(less_accurate_p(correct, reference), less_accurate_p(reference, correct)))


def less_accurate_p(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return the p value of McNemar's exact test that `correct` does not err more often; see mcnemar_p."""
    n_only_first = int(np.count_nonzero(correct & ~reference))
    n_only_second = int(np.count_nonzero(~correct & reference))
    return float(bdtr(n_only_first, n_only_first + n_only_second, 0.5))
