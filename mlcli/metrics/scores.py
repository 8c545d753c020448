"""The metrics of a split, its mistakes and its calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import DataError
from mlcli.metrics.by_class import ProbabilityScores, mean_of_known, probability_scores
from mlcli.records import Metrics, Scores
from mlcli.registry import METRICS

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
    """Return accuracy and loss of n scored samples, no other metrics. y: int64 (n,). DataError: see `check_scores`."""
    check_scores(scores, y)
    return Metrics(accuracy=accuracy(scores.labels, y), loss=log_loss(scores, y), n_samples=len(y))


def full_score(scores: Scores, y: NDArray[np.int64], largest_class: int | None = None) -> Metrics:
    """Return all metrics of n scored samples, by the definitions of scikit-learn, and why others do not exist.

    y: int64 (n,). largest_class: of the training split. Over several classes, macro_f1 is the mean over those that are
    predicted or have samples; balanced_accuracy, roc_auc and pr_auc (one class against all others) are means over
    those that have samples; brier_score is the sum over all. Of two classes, roc_auc, pr_auc and brier_score are those
    of the second one. DataError: see `check_scores`.
    """
    basic = score(scores, y)
    recalls, f1 = _recalls_and_f1(scores.labels, y)
    found = _overall(probability_scores(scores, y))
    return replace(
        basic,
        balanced_accuracy=float(recalls.mean()),
        macro_f1=float(f1.mean()),
        roc_auc=found.roc_auc,
        pr_auc=found.pr_auc,
        brier_score=found.brier_score,
        largest_class_accuracy=None if largest_class is None else float(np.mean(y == largest_class)),
        undefined=_undefined(scores, y),
    )


def _recalls_and_f1(labels: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the recall of every class with samples, and F1 of every class that is predicted or has samples."""
    classes, indices = np.unique(np.concatenate([y, labels]), return_inverse=True)
    true, predicted = indices[: len(y)], indices[len(y) :]
    n_true, n_predicted, hits = (
        np.bincount(found, minlength=len(classes)) for found in (true, predicted, true[true == predicted])
    )
    has_samples = n_true > 0
    return hits[has_samples] / n_true[has_samples], 2 * hits / (n_true + n_predicted)


def _overall(classes: Sequence[ProbabilityScores]) -> ProbabilityScores:
    """Return the scores of a split from those of its classes, of which there are none without probabilities."""
    if not classes:
        return ProbabilityScores(None, None, None)
    if len(classes) == 2:
        return classes[1]
    return ProbabilityScores(
        mean_of_known([found.roc_auc for found in classes]),
        mean_of_known([found.pr_auc for found in classes]),
        min(sum(found.brier_score or 0.0 for found in classes), 2.0),  # rounding may exceed it
    )


def _undefined(scores: Scores, y: NDArray[np.int64]) -> Mapping[str, str]:
    """Return why metrics do not exist for these samples, by the name of the metric."""
    reasons: dict[str, str] = {}
    probabilities = scores.probabilities
    for name, info in METRICS.items():
        if info.needs_probabilities and probabilities is None:
            reasons[name] = "the model gives no probabilities"
        elif info.needs_probabilities and probabilities is not None and not np.isfinite(probabilities).all():
            reasons[name] = "a probability is not finite"
        elif info.needs_two_classes and y.min() == y.max():
            reasons[name] = "all samples are of one class"
    return reasons


def largest_class(y: NDArray[np.int64]) -> int:
    """Return the class with most samples, the lower one if two have as many. y: int64 (n,) with n >= 1."""
    return int(np.bincount(y).argmax())


def accuracy(labels: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """Return the fraction of samples whose predicted class is the true one."""
    return float(np.mean(labels == y))


def log_loss(scores: Scores, y: NDArray[np.int64]) -> float | None:
    """Return the mean of `sample_losses` in nats; None without probabilities."""
    losses = sample_losses(scores, y)
    return None if losses is None else float(losses.mean())


def sample_losses(scores: Scores, y: NDArray[np.int64]) -> NDArray[np.float64] | None:
    """Return -log p(true class) of each sample in nats, float64 (n,); None without probabilities.

    Exact from logits. Probabilities without logits, those of estimators, are clipped at the epsilon of their dtype,
    as in `sklearn.metrics.log_loss`: a wrong class with probability 1 in float64 costs 36 nats.
    """
    if scores.logits is not None:
        starts = range(0, len(y), _CHUNK)
        losses = [_cross_entropy(scores.logits[start : start + _CHUNK], y[start : start + _CHUNK]) for start in starts]
        return np.concatenate(losses)
    if scores.probabilities is None:
        return None
    epsilon = np.finfo(scores.probabilities.dtype).eps
    chosen = scores.probabilities[np.arange(len(y)), y].astype(np.float64)
    found: NDArray[np.float64] = -np.log(chosen.clip(epsilon, 1 - epsilon))
    return found


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
