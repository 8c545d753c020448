"""Whether two variants differ in accuracy: paired over seeds and over test samples.

Every variant is trained from the same seeds and scored on the same test samples, so the difference of two variants
is a table of -1, 0 and 1 with a row a seed and a column a sample. Both are samples of something larger: another
seed, and other samples, would have given other numbers. Its mean is judged as readers and cases are in diagnostic
studies, where the same question arises, by analysis of variance with two crossed random factors (Dorfman, Berbaum
and Metz, Investigative Radiology 27, 1992), with the degrees of freedom of Hillis (Statistics in Medicine 26, 2007):

    variance of the mean = (max(MS_seeds, MS_rest) + max(MS_samples - MS_rest, 0)) / (n_seeds * n_samples)

MS_rest, known from many samples, bounds MS_seeds from below because seeds cannot take variance away; without the
bound, few seeds that happen to lie close together would look like certainty.

With one seed there is nothing to tell seeds apart by; what is left is McNemar's test (Psychometrika 12, 1947), in its
exact form, which is about the two trained models alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlcli.compare.statistics.intervals import critical_t, smallest_enough, two_sided_p

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class AccuracyDifference:
    """The accuracy of one variant minus that of another, as shares.

    low and high: the 95 % interval; None with one seed. p_value: of no difference, None with one seed.
    seed_variance: what a seed adds to the variance, divided by the number of seeds in the mean; sample_variance:
    what the choice of test samples adds, whatever the number of seeds.
    """

    mean: float
    low: float | None
    high: float | None
    p_value: float | None
    n_seeds: int
    n_samples: int
    n_differing: int  # test samples on which the two differ on average
    seed_variance: float
    sample_variance: float

    def seeds_needed(self, margin: float, confidence: float) -> int | None:
        """With how many seeds the same measurements would tell: different, or within the margin. None: with none.

        margin: a share. confidence: of the interval that must exclude 0 or lie within the margin.
        """
        room = max(abs(self.mean), margin - abs(self.mean))
        if self.n_seeds < 2 or self.seed_variance == 0:
            return None

        def is_enough(n_seeds: int) -> bool:
            variance = self.seed_variance / n_seeds + self.sample_variance
            degrees = _degrees_of_freedom(self.seed_variance / n_seeds, self.sample_variance, n_seeds, self.n_differing)
            return two_sided_p(room / math.sqrt(variance), degrees) < 1 - confidence

        return smallest_enough(is_enough, self.n_seeds)


def accuracy_difference(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> AccuracyDifference:
    """The difference of two variants, `correct` minus `reference`.

    correct, reference: bool (n_seeds, n_samples), whether the variant with that seed was right on that sample; rows
    are the same seeds and columns the same samples. n_samples at least 2.
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
    half = critical_t(degrees) * error
    return AccuracyDifference(
        mean=mean,
        low=mean - half,
        high=mean + half,
        p_value=_p_value(mean, error, degrees),
        n_seeds=n_seeds,
        n_samples=n_samples,
        n_differing=n_differing,
        seed_variance=seed_variance,
        sample_variance=sample_variance,
    )


def _components(difference: NDArray[np.int8], of_samples: NDArray[np.float64], mean: float) -> tuple[float, float]:
    """max(MS_seeds, MS_rest) / n_samples, and max(MS_samples - MS_rest, 0) / (n_seeds * n_samples)."""
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
    """Satterthwaite's, as Hillis has them, but with finitely many for the samples too.

    Two good models differ on few samples, and only those say anything: their number, less one, keeps a handful of
    samples from looking like certainty.
    """
    squares = of_seeds**2 / (n_seeds - 1) + of_samples**2 / max(n_differing - 1, 1)
    return (of_seeds + of_samples) ** 2 / squares if squares else math.inf


def _p_value(mean: float, error: float, degrees_of_freedom: float) -> float:
    if error == 0:
        return 1.0 if mean == 0 else 0.0
    return two_sided_p(mean / error, degrees_of_freedom)


def mcnemar_p(correct: NDArray[np.bool_], reference: NDArray[np.bool_]) -> float:
    """The exact two-sided p value of two models that err equally often; both bool (n_samples,).

    Only samples that one alone gets right count; each is then equally likely to be either's.
    """
    n_only_first = int(np.count_nonzero(correct & ~reference))
    n_only_second = int(np.count_nonzero(~correct & reference))
    n, k = n_only_first + n_only_second, min(n_only_first, n_only_second)
    if n == 0:
        return 1.0
    log_halves = n * math.log(2)
    tail = math.fsum(math.exp(_log_binomial(n, i) - log_halves) for i in range(k + 1))
    return min(1.0, 2 * tail)


def _log_binomial(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
