"""Accuracy and cross-entropy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcli.records import Metrics, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


def score(scores: Scores, y: NDArray[np.int64]) -> Metrics:
    """Accuracy and mean cross-entropy of n scored samples. y: int64 (n,), n at least 1."""
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
        logits -= logits.max(axis=1, keepdims=True)
        return float(np.mean(np.log(np.exp(logits).sum(axis=1)) - logits[rows, y]))
    if scores.probabilities is None:
        return None
    epsilon = np.finfo(scores.probabilities.dtype).eps
    chosen = scores.probabilities[rows, y].astype(np.float64)
    return float(-np.log(chosen.clip(epsilon, 1 - epsilon)).mean())
