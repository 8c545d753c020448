"""The influence of a sample is the derivative of scikit-learn's metric by the weight of the sample."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics.influence import influences
from mlcli.metrics.scores import full_score
from mlcli.records import Scores
from mlcli.registry import METRICS

STEP = 1e-5


def weighted(name, scores, y, weights):
    """Return a metric by scikit-learn, with a weight for each sample."""
    labels, probabilities = scores.labels, scores.probabilities
    n_classes = probabilities.shape[1]
    truth, columns = (y[:, None] == np.arange(n_classes)).astype(int), probabilities
    if n_classes == 2:
        truth, columns = y, probabilities[:, 1]
    metrics = sklearn.metrics
    match name:
        case "accuracy":
            return metrics.accuracy_score(y, labels, sample_weight=weights)
        case "loss":
            return metrics.log_loss(y, probabilities, sample_weight=weights, labels=range(n_classes))
        case "balanced_accuracy":
            return metrics.balanced_accuracy_score(y, labels, sample_weight=weights)
        case "macro_f1":
            return metrics.f1_score(y, labels, average="macro", sample_weight=weights)
        case "roc_auc":
            return metrics.roc_auc_score(truth, columns, average="macro", sample_weight=weights)
        case "pr_auc":
            return metrics.average_precision_score(truth, columns, average="macro", sample_weight=weights)
        case "brier_score":
            return metrics.brier_score_loss(
                y, columns if n_classes == 2 else probabilities, sample_weight=weights, labels=range(n_classes)
            )


def scored(n_classes, decimals):
    generator = np.random.default_rng(n_classes)
    y = generator.integers(0, n_classes, 40)
    raw = np.round(generator.dirichlet(np.ones(n_classes), 40) + 0.4 * (y[:, None] == np.arange(n_classes)), decimals)
    probabilities = raw + 1e-3
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return Scores(probabilities.argmax(axis=1), None, probabilities), y


@pytest.mark.parametrize(("n_classes", "decimals"), [(2, 6), (2, 1), (4, 6), (4, 1)])
@pytest.mark.parametrize("name", METRICS)
def test_the_influence_is_the_derivative_by_the_weight(name, n_classes, decimals):
    scores, y = scored(n_classes, decimals)
    found = influences(name, scores, y)
    assert found.sum() == pytest.approx(0, abs=1e-9)
    assert getattr(full_score(scores, y), name) == pytest.approx(weighted(name, scores, y, np.ones(40)))
    for sample in range(0, 40, 3):
        steps = [np.ones(40), np.ones(40)]
        steps[0][sample], steps[1][sample] = 1 - STEP, 1 + STEP
        lower, upper = (weighted(name, scores, y, weights) for weights in steps)
        assert found[sample] == pytest.approx(40 * (upper - lower) / (2 * STEP), rel=1e-4, abs=1e-6)
