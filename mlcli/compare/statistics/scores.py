"""Whether two variants differ in any metric: as in accuracy, with the influences of the samples in place of 0 and 1.

Accuracy is a mean over samples of 0 and 1. Any other metric is treated as if it were the mean of the pseudo-values of
the samples, the metric plus the influence of the sample on it (see metrics/influence.py); Dorfman, Berbaum and Metz
(Investigative Radiology 27, 1992) proposed this for ROC AUC. The difference of two variants is again a table with a row
per seed and a column per sample, and the analysis of variance of `accuracy` follows.

Two of its details are generalised. The degrees of freedom of the variance between samples are those of an effective
number of samples, (sum of z**2)**2 / (sum of z**4), where z are the deviations of the columns from the mean: if a few
samples decide, it is small. Of differences of -1, 0 and 1 with mean 0 it is the number of samples that differ. Wilson's
bounds, which keep a few samples without differences from proving a tie, use n_classes * (samples of the smallest class)
for metrics that give all classes the same weight: a true difference d may come from the smallest class alone. A mean
loss or Brier score is not a fraction of the samples, and has no such bounds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.statistics import ACCURACY_MARGIN, MIN_FOR_INTERVAL, RELATIVE_MARGIN
from mlcli.compare.statistics.accuracy import AccuracyDifference, error_parts, interval, variance_components
from mlcli.compare.statistics.error_parts import two_sided_p_value
from mlcli.registry import METRICS


@dataclass(frozen=True)
class ScoreDifference(AccuracyDifference):
    """A metric of one variant minus that of another, in the unit of the metric; see AccuracyDifference.

    n_differing: the effective number of samples. margin: the difference within which the variants are a tie.
    """

    margin: float
    n_bounding_samples: int | None  # see the module; None: no bounds

    @property
    def n_bounding(self) -> float:
        return self.n_bounding_samples or math.inf


def score_difference(
    metric: str, values: NDArray[np.float64], reference: NDArray[np.float64], class_counts: NDArray[np.int64]
) -> ScoreDifference:
    """Return the metric of `values` minus that of `reference`, with its interval and p value.

    values, reference: pseudo-values, float64 (n_seeds, n_samples), whose row means are the metric; rows are the same
    seeds and columns the same samples in both. class_counts: samples of each class that has any.
    """
    info = METRICS[metric]
    difference = values - reference
    n_seeds, n_samples = difference.shape
    mean = float(difference.mean())
    n_effective = effective_number(difference.mean(axis=0) - mean)
    margin, n_bounding = score_margin(metric, float(reference.mean())), n_bounding_samples(metric, class_counts)
    common = (n_seeds, n_samples, n_effective)
    if n_seeds < 2:
        return ScoreDifference(mean, None, None, None, *common, 0.0, 0.0, margin, n_bounding)
    variances = variance_components(difference)
    parts = error_parts(*variances, n_seeds, n_effective)
    p_value = two_sided_p_value(mean, parts)
    low, high = None, None
    if n_seeds >= MIN_FOR_INTERVAL:
        low, high = interval(mean, parts, n_bounding or math.inf, info.most)
    return ScoreDifference(mean, low, high, p_value, *common, *variances, margin, n_bounding)


def score_margin(metric: str, reference: float) -> float:
    """Return the difference from a reference within which two variants are a tie."""
    return RELATIVE_MARGIN * abs(reference) if METRICS[metric].is_lower_better else ACCURACY_MARGIN


def n_bounding_samples(metric: str, class_counts: NDArray[np.int64]) -> int | None:
    """Return the number of samples in Wilson's bounds, see the module; None: the metric has no bounds."""
    return None if METRICS[metric].is_lower_better else int(len(class_counts) * class_counts.min())


def effective_number(deviations: NDArray[np.float64]) -> int:
    """Return how many equally large deviations would estimate a variance as precisely as these; 0 if all are 0."""
    largest = float(np.abs(deviations).max())
    if largest == 0:
        return 0
    squares = np.square(deviations / largest)
    return int(squares.sum() ** 2 / np.square(squares).sum())
