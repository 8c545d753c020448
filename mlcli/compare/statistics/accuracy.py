"""Whether two variants differ in accuracy: paired over seeds and over test samples.

All variants are trained with the same seeds and scored on the same test samples, so the difference of two variants is a
table of -1, 0 and 1 with a row per seed and a column per sample. Seeds and samples are both random: other seeds and
other samples would have given other numbers. Readers and cases in diagnostic studies pose the same problem, and its
solution is used here: analysis of variance with two crossed random factors (Dorfman, Berbaum and Metz, Investigative
Radiology 27, 1992), with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007):

    variance of the mean = (max(MS_seeds, MS_rest) + max(MS_samples - MS_rest, 0)) / (n_seeds * n_samples)

MS_rest is estimated from many samples. It bounds MS_seeds from below, because seeds cannot reduce the variance; without
this bound, a few seeds with accidentally similar results would suggest certainty.

A single seed gives no estimate of the variation between seeds. Only McNemar's test (Psychometrika 12, 1947) remains, in
its exact form; it is about the two trained models, not about their configurations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from mlcli.compare.statistics import critical_t, smallest_sufficient, two_sided_p


@dataclass(frozen=True)
class AccuracyDifference:
    """The accuracy of one variant minus that of another, as a fraction.

    low and high: the 95 % confidence interval. p_value: of the hypothesis of no difference. All three are None with
    one seed. The variance of the mean is seed_variance / n_seeds + sample_variance.
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

    def seeds_needed(self, margin: float, confidence: float) -> int | None:
        """Return how many seeds would show a difference, or a tie within the margin, if the variances stayed the same.

        margin: a fraction. confidence: that of the interval which must exclude 0 or lie within the margin. None if no
        number of seeds would suffice, because there are not enough test samples, and with one seed.
        """
        distance = max(abs(self.mean), margin - abs(self.mean))
        if self.n_seeds < 2 or self.seed_variance == 0:
            return None

        def is_sufficient(n_seeds: int) -> bool:
            variance = self.seed_variance / n_seeds + self.sample_variance
            degrees = _degrees_of_freedom(self.seed_variance / n_seeds, self.sample_variance, n_seeds, self.n_differing)
            return two_sided_p(distance / math.sqrt(variance), degrees) < 1 - confidence

        return smallest_sufficient(is_sufficient, self.n_seeds)


def accuracy_difference(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> AccuracyDifference:
    """Return the accuracy of `correct` minus that of `reference`, with its interval and p value.

    correct, reference: bool (n_seeds, n_samples), whether the variant with that seed was right on that sample. Rows
    are the same seeds and columns the same samples in both; n_samples is at least 2.
    """
    difference = correct.astype(np.int8) - reference.astype(np.int8)
    n_seeds, n_samples = difference.shape
    mean = float(difference.mean())
    of_samples = difference.mean(axis=0)
    n_differing = int(np.count_nonzero(of_samples))
    if n_seeds < 2:
        return AccuracyDifference(mean, None, None, None, 1, n_samples, n_differing, 0.0, 0.0)
    seed_variance, sample_variance = _components(difference, of_samples, mean)
    error = math.sqrt(seed_variance / n_seeds + sample_variance)
    degrees = _degrees_of_freedom(seed_variance / n_seeds, sample_variance, n_seeds, n_differing)
    half_width = critical_t(degrees) * error
    low, high = mean - half_width, mean + half_width
    p_value = two_sided_p(mean / error, degrees) if error else float(mean == 0)
    return AccuracyDifference(mean, low, high, p_value, n_seeds, n_samples, n_differing, seed_variance, sample_variance)


def _components(difference: NDArray[np.int8], of_samples: NDArray[np.float64], mean: float) -> tuple[float, float]:
    """Return max(MS_seeds, MS_rest) / n_samples, and max(MS_samples - MS_rest, 0) / (n_seeds * n_samples)."""
    n_seeds, n_samples = difference.shape
    of_seeds = difference.mean(axis=1)
    seeds = n_samples * float(np.square(of_seeds - mean).sum())
    samples = n_seeds * float(np.square(of_samples - mean).sum())
    total = float(np.count_nonzero(difference)) - difference.size * mean * mean
    rest = max(total - seeds - samples, 0.0)
    mean_square_seeds = seeds / (n_seeds - 1)
    mean_square_samples = samples / (n_samples - 1)
    mean_square_rest = rest / ((n_seeds - 1) * (n_samples - 1))
    excess = max(mean_square_samples - mean_square_rest, 0.0)
    return max(mean_square_seeds, mean_square_rest) / n_samples, excess / (n_seeds * n_samples)


def _degrees_of_freedom(of_seeds: float, of_samples: float, n_seeds: int, n_differing: int) -> float:
    """Return Satterthwaite's degrees of freedom in the form of Hillis, but finite for the samples too.

    Two good models differ on few samples, and only these carry information: their number minus one prevents certainty
    from a handful of samples.
    """
    squares = of_seeds**2 / (n_seeds - 1) + of_samples**2 / max(n_differing - 1, 1)
    return (of_seeds + of_samples) ** 2 / squares if squares else math.inf


def mcnemar_p(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """Return the two-sided p value of McNemar's exact test that two models err equally often; both bool (n_samples,).

    Only the samples that exactly one model gets right count: under the hypothesis, it is either model with equal
    probability.
    """
    n_only_first = int(np.count_nonzero(correct & ~reference))
    n_only_second = int(np.count_nonzero(~correct & reference))
    n, k = n_only_first + n_only_second, min(n_only_first, n_only_second)
    return min(1.0, 2 * float(bdtr(k, n, 0.5)))
