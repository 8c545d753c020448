"""Accuracy, cross-entropy, mistakes and calibration of a split; confusion matrix, precision, recall and F1 by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import DataError
from mlcli.records import Metrics, Scores

_CHUNK = 65_536  # samples whose logits are copied to float64 at a time


def check_scores(scores: Scores, y: NDArray[np.int64]) -> None:
    """DataError unless scores and true classes have the same n >= 1 samples and their classes are valid columns.

    Values that are not finite are accepted; they give metrics that are not finite.
    """
    n_samples = len(scores.labels)
    if y.shape != (n_samples,) or scores.labels.shape != (n_samples,) or n_samples == 0:
        raise DataError(f"{n_samples:,} samples were scored, but there are {len(y):,} true classes")
    for values in (scores.logits, scores.probabilities):
        if values is not None and (values.ndim != 2 or len(values) != n_samples):
            raise DataError(f"scores of shape {values.shape}, expected ({n_samples:,}, classes)")
    n_classes = min((v.shape[1] for v in (scores.logits, scores.probabilities) if v is not None), default=None)
    for kind, labels in (("true", y), ("predicted", scores.labels)):
        if labels.min() < 0 or (n_classes is not None and labels.max() >= n_classes):
            expected = "from 0" if n_classes is None else f"0 to {n_classes - 1}"
            raise DataError(f"{kind} classes from {labels.min()} to {labels.max()}, expected {expected}")


def score(scores: Scores, y: NDArray[np.int64]) -> Metrics:
    """Return accuracy and mean cross-entropy of n scored samples. y: int64 (n,). DataError: see `check_scores`."""
    check_scores(scores, y)
    return Metrics(accuracy=accuracy(scores.labels, y), loss=log_loss(scores, y), n_samples=len(y))


def accuracy(labels: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """Return the fraction of samples whose predicted class is the true one."""
    return float(np.mean(labels == y))


def log_loss(scores: Scores, y: NDArray[np.int64]) -> float | None:
    """Return the mean of -log p(true class) in nats, computed in float64; None without probabilities.

    Exact from logits. Probabilities without logits, those of estimators, are clipped at the epsilon of their dtype,
    as in `sklearn.metrics.log_loss`: a wrong class with probability 1 in float64 costs 36 nats.
    """
    if scores.logits is not None:
        starts = range(0, len(y), _CHUNK)
        losses = [_cross_entropy(scores.logits[start : start + _CHUNK], y[start : start + _CHUNK]) for start in starts]
        return float(np.concatenate(losses).mean())
    if scores.probabilities is None:
        return None
    epsilon = np.finfo(scores.probabilities.dtype).eps
    chosen = scores.probabilities[np.arange(len(y)), y].astype(np.float64)
    return float(-np.log(chosen.clip(epsilon, 1 - epsilon)).mean())


def _cross_entropy(logits: NDArray[np.floating], y: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the loss of each sample in nats, NaN for infinite logits."""
    logits = logits.astype(np.float64)
    with np.errstate(invalid="ignore"):
        logits -= logits.max(axis=1, keepdims=True)
        losses: NDArray[np.float64] = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(y)), y]
    return losses


def confidence(scores: Scores) -> NDArray[np.floating] | None:
    """Return the probability of each sample's predicted class, (n,); None without probabilities."""
    if scores.probabilities is None:
        return None
    return scores.probabilities[np.arange(len(scores.labels)), scores.labels]


@dataclass(frozen=True)
class Mistake:
    """A misclassified sample: its position in the split, and the probability of the predicted class if there is one."""

    index: int
    true: int
    predicted: int
    probability: float | None


def confident_mistakes(scores: Scores, y: NDArray[np.int64], n: int) -> tuple[Mistake, ...]:
    """Return the n mistakes with the highest probability, lower index first if they tie; without any, by index.

    DataError: see `check_scores`.
    """
    check_scores(scores, y)
    wrong = np.flatnonzero(scores.labels != y)
    probabilities = confidence(scores)
    if probabilities is not None:
        wrong = wrong[np.argsort(-probabilities[wrong], kind="stable")]
    return tuple(
        Mistake(i, int(y[i]), int(scores.labels[i]), None if probabilities is None else float(probabilities[i]))
        for i in wrong[:n].tolist()
    )


def confusion_matrix(labels: NDArray[np.int64], y: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return counts, int64 (n_classes, n_classes): rows are true classes, columns predicted ones.

    DataError for arrays of different lengths and for classes outside 0 to n_classes - 1.
    """
    if y.shape != labels.shape or y.ndim != 1:
        raise DataError(f"predicted classes of shape {labels.shape}, but true classes of shape {y.shape}")
    for classes in (labels, y) if len(y) else ():
        if classes.min() < 0 or classes.max() >= n_classes:
            raise DataError(f"classes from {classes.min()} to {classes.max()}, expected 0 to {n_classes - 1}")
    counts = np.bincount(y * n_classes + labels, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class against all others.

    precision: TP / (TP + FP). recall: TP / (TP + FN). f1: their harmonic mean, 2 TP / (2 TP + FP + FN).
    As in scikit-learn with zero_division=0, 0 / 0 counts as 0: the precision of a class that is never predicted, the
    recall of one that has no samples. All are None for a class that is neither predicted nor has samples.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    n_samples: int  # samples whose true class it is


def class_scores(matrix: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Return precision, recall and F1 of every class, from the confusion matrix."""
    n_true, n_predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassScores(
            name=name,
            precision=float(hits / max(predicted, 1)) if predicted + true else None,
            recall=float(hits / max(true, 1)) if predicted + true else None,
            f1=float(2 * hits / (predicted + true)) if predicted + true else None,
            n_samples=int(true),
        )
        for name, hits, predicted, true in zip(names, matrix.diagonal(), n_predicted, n_true, strict=True)
    )


def macro_average(classes: Sequence[ClassScores]) -> ClassScores:
    """Return the unweighted mean of each score over the classes that are predicted or have samples.

    As in scikit-learn's macro average without `labels`, with zero_division=0.
    """
    return ClassScores(
        name="macro average",
        precision=_mean([scores.precision for scores in classes]),
        recall=_mean([scores.recall for scores in classes]),
        f1=_mean([scores.f1 for scores in classes]),
        n_samples=sum(scores.n_samples for scores in classes),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


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
