"""Accuracy and cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcli.errors import DataError
from mlcli.records import Metrics, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


def check_scores(scores: Scores, y: NDArray[np.int64]) -> None:
    """DataError where scores and true classes are not of the same n samples, n at least 1, or name classes below 0 or
    beyond those that were scored. Values that are not finite are no fault: they give figures that are not.
    """
    n_samples = len(scores.labels)
    if y.shape != (n_samples,) or scores.labels.shape != (n_samples,) or n_samples == 0:
        raise DataError(f"{n_samples:,} samples were scored, and the classes of {len(y):,} are known")
    for values in (scores.logits, scores.probabilities):
        if values is not None and (values.ndim != 2 or len(values) != n_samples):
            raise DataError(f"scores of shape {values.shape}, expected ({n_samples:,}, classes)")
    n_classes = min((v.shape[1] for v in (scores.logits, scores.probabilities) if v is not None), default=None)
    for what, labels in (("a true class", y), ("a predicted class", scores.labels)):
        if labels.min() < 0 or (n_classes is not None and labels.max() >= n_classes):
            raise DataError(f"{what} lies outside of those that were scored")


def score(scores: Scores, y: NDArray[np.int64]) -> Metrics:
    """Accuracy and mean cross-entropy of n scored samples. y: int64 (n,). DataError: see `check_scores`."""
    check_scores(scores, y)
    return Metrics(accuracy=accuracy(scores.labels, y), loss=log_loss(scores, y), n_samples=len(y))


def accuracy(labels: NDArray[np.int64], y: NDArray[np.int64]) -> float:
    """The share of samples whose predicted class is the true one."""
    return float(np.mean(labels == y))


def log_loss(scores: Scores, y: NDArray[np.int64]) -> float | None:
    """Mean of -log p(true class) in nats, computed in float64; None where the model gives no probabilities.

    From logits it is exact; probabilities are clipped at their type's epsilon, as scikit-learn's log_loss does.
    """
    rows = np.arange(len(y))
    if scores.logits is not None:
        logits = scores.logits.astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinite logits have no loss, and the figure says so
            logits -= logits.max(axis=1, keepdims=True)
            return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[rows, y]))
    if scores.probabilities is None:
        return None
    epsilon = np.finfo(scores.probabilities.dtype).eps
    chosen = scores.probabilities[rows, y].astype(np.float64)
    return float(-np.log(chosen.clip(epsilon, 1 - epsilon)).mean())
