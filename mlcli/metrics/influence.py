"""The influence of each sample on a metric, from which the sampling error of the metric is estimated.

A metric is a function of the weights of the samples, all of which are 1 and only whose proportions count. The influence
of a sample is n times the derivative of the metric by its weight, at n samples (the infinitesimal jackknife: Jaeckel,
Bell Laboratories Memorandum MM 72-1215-11, 1972; Efron, The Jackknife, the Bootstrap and Other Resampling Plans, 1982,
chapter 6). Influences sum to 0, and the variance of the metric over other test samples is about the mean of their
squares over n. Of accuracy, loss and Brier score, which are means, they are the deviations from the mean, and of
ROC AUC the structural components of DeLong, DeLong and Clarke-Pearson (Biometrics 44, 1988).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from mlcli.metrics.scores import sample_losses
from mlcli.records import Scores

Values = NDArray[np.float64]  # (n,), one for each sample


def influences(name: str, scores: Scores, y: NDArray[np.int64]) -> Values:
    """Return the influence of each sample on a metric that exists for these samples, float64 (n,)."""
    return _FUNCTIONS[name](scores, y)


def _of_mean(values: NDArray[np.floating | np.bool_]) -> Values:
    centred: Values = values - np.mean(values, dtype=np.float64)
    return centred


def _of_accuracy(scores: Scores, y: NDArray[np.int64]) -> Values:
    return _of_mean(scores.labels == y)


def _of_loss(scores: Scores, y: NDArray[np.int64]) -> Values:
    losses = sample_losses(scores, y)
    assert losses is not None
    return _of_mean(losses)


def _of_brier_score(scores: Scores, y: NDArray[np.int64]) -> Values:
    probabilities = scores.probabilities
    assert probabilities is not None
    n_classes = probabilities.shape[1]
    labels = [1] if n_classes == 2 else range(n_classes)
    distances = np.zeros(len(y))
    for label in labels:
        distances += np.square(probabilities[:, label].astype(np.float64) - (y == label))
    return _of_mean(distances)


def _of_balanced_accuracy(scores: Scores, y: NDArray[np.int64]) -> Values:
    """Of the recall of a class, a sample of it has n / n_class * (1 if it is right, else 0, - recall), others 0."""
    _, true = np.unique(y, return_inverse=True)
    n_true = np.bincount(true)
    is_right = scores.labels == y
    recalls = np.bincount(true, weights=is_right) / n_true
    found: Values = len(y) / (len(n_true) * n_true[true]) * (is_right - recalls[true])
    return found


def _of_macro_f1(scores: Scores, y: NDArray[np.int64]) -> Values:
    """F1 is 2 hits / (n_true + n_predicted): a quotient of two sums over samples."""
    classes, indices = np.unique(np.concatenate([y, scores.labels]), return_inverse=True)
    true, predicted = indices[: len(y)], indices[len(y) :]
    totals = np.bincount(indices)
    is_right = true == predicted
    f1 = 2 * np.bincount(true[is_right], minlength=len(classes)) / totals
    of_sample = 2 * is_right / totals[true] - f1[true] / totals[true] - f1[predicted] / totals[predicted]
    found: Values = len(y) / len(classes) * of_sample
    return found


def _of_areas(area: Callable[[NDArray[np.floating], NDArray[np.bool_]], Values]) -> Callable[..., Values]:
    """Return the influences on the mean area of the classes, or on that of the second of two classes."""

    def of_areas(scores: Scores, y: NDArray[np.int64]) -> Values:
        probabilities = scores.probabilities
        assert probabilities is not None
        labels = [1] if probabilities.shape[1] == 2 else np.unique(y).tolist()
        total = np.zeros(len(y))
        for label in labels:
            total += area(probabilities[:, label], y == label)
        return total / len(labels)

    return of_areas


def _of_roc_auc(values: NDArray[np.floating], is_class: NDArray[np.bool_]) -> Values:
    """A sample has n / n_side * (its fraction of correctly ordered pairs - area); equal values count half."""
    n, n_class = len(values), int(np.count_nonzero(is_class))
    _, ranks, counts = np.unique(values, return_inverse=True, return_counts=True)
    n_class_at = np.bincount(ranks, weights=is_class)
    n_others_at = counts - n_class_at
    others_below = np.cumsum(n_others_at) - n_others_at / 2
    class_above = n_class - (np.cumsum(n_class_at) - n_class_at / 2)
    fractions = np.where(is_class, others_below[ranks] / (n - n_class), class_above[ranks] / n_class)
    area = float(fractions[is_class].mean())
    return n / np.where(is_class, n_class, n - n_class) * (fractions - area)


def _of_pr_auc(values: NDArray[np.floating], is_class: NDArray[np.bool_]) -> Values:
    """The area is the mean, over the samples of the class, of hits / (hits + others) at their values and above.

    A sample changes its weight in this mean, and the precision at its own value and at all lower ones.
    """
    n, n_class = len(values), int(np.count_nonzero(is_class))
    _, ranks, counts = np.unique(-values, return_inverse=True, return_counts=True)  # from the highest value
    hits_at = np.bincount(ranks, weights=is_class)
    hits, total = np.cumsum(hits_at), np.cumsum(counts)
    precision = hits / total
    area = float((hits_at * precision).sum() / n_class)
    # The sums over this value and all lower ones of the derivatives of the precision there.
    by_hit = np.cumsum((hits_at * (total - hits) / total**2)[::-1])[::-1]
    by_other = np.cumsum((hits_at * hits / total**2)[::-1])[::-1]
    return n / n_class * np.where(is_class, precision[ranks] - area + by_hit[ranks], -by_other[ranks])


_FUNCTIONS: Mapping[str, Callable[[Scores, NDArray[np.int64]], Values]] = {
    "accuracy": _of_accuracy,
    "loss": _of_loss,
    "balanced_accuracy": _of_balanced_accuracy,
    "macro_f1": _of_macro_f1,
    "roc_auc": _of_areas(_of_roc_auc),
    "pr_auc": _of_areas(_of_pr_auc),
    "brier_score": _of_brier_score,
}
