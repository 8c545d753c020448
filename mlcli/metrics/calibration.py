"""Calibration: how well the probability of the predicted class matches the accuracy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcli.metrics.scores import check_scores, confidence
from mlcli.records import Scores


@dataclass(frozen=True)
class CalibrationBin:
    """The samples whose confidence lies in (lower, upper]; confidence and accuracy are means, None for no samples."""

    lower: float
    upper: float
    n_samples: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class Calibration:
    """The expected calibration error, from 0 to 1, and its bins."""

    error: float
    bins: tuple[CalibrationBin, ...]


def calibration(scores: Scores, y: NDArray[np.int64], n_bins: int = 15) -> Calibration | None:
    """Return the expected calibration error over bins of equal width; None without probabilities.

    ECE = sum over bins of n_bin / n * |accuracy of the bin - mean confidence of the bin|
    (Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", 2017, equations 3 and 5; 15 bins
    as in their tables). y: int64 (n,). DataError: see `check_scores`.
    """
    check_scores(scores, y)
    confidences = confidence(scores)
    if confidences is None:
        return None
    edges = np.linspace(0, 1, n_bins + 1)
    index = np.searchsorted(edges[1:-1], confidences.astype(np.float64), side="left")
    counts = np.bincount(index, minlength=n_bins)
    confidence_sums = np.bincount(index, weights=confidences, minlength=n_bins)
    hit_sums = np.bincount(index, weights=scores.labels == y, minlength=n_bins)
    columns = (edges[:-1], edges[1:], counts, confidence_sums, hit_sums)
    bins = tuple(
        CalibrationBin(lower, upper, n, confidence=total / n if n else None, accuracy=hits / n if n else None)
        for lower, upper, n, total, hits in zip(*(column.tolist() for column in columns), strict=True)
    )
    return Calibration(error=float(np.abs(hit_sums - confidence_sums).sum() / len(y)), bins=bins)
