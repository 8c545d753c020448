"""The metric code against scikit-learn's, which defines the terms."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics import accuracy, log_loss, score
from mlcli.records import Scores


@pytest.fixture
def scored():
    generator = np.random.default_rng(0)
    logits = (generator.normal(size=(500, 7)) * 2).astype(np.float32)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    return Scores(logits.argmax(1), logits, probabilities), generator.integers(0, 7, 500)


def test_accuracy_is_scikit_learns(scored):
    scores, y = scored
    assert accuracy(scores.labels, y) == sklearn.metrics.accuracy_score(y, scores.labels)


def test_loss_from_probabilities_is_scikit_learns(scored):
    scores, y = scored
    only_probabilities = Scores(scores.labels, None, scores.probabilities)
    expected = sklearn.metrics.log_loss(y, scores.probabilities, labels=range(7))
    assert log_loss(only_probabilities, y) == pytest.approx(expected, rel=1e-6)


def test_loss_from_logits_agrees_with_loss_from_probabilities(scored):
    scores, y = scored
    only_probabilities = Scores(scores.labels, None, scores.probabilities)
    assert log_loss(scores, y) == pytest.approx(log_loss(only_probabilities, y), rel=1e-5)


def test_loss_from_extreme_logits_is_exact_where_probabilities_are_zero():
    logits = np.array([[1000.0, 0.0], [0.0, 1000.0]], dtype=np.float32)
    scores = Scores(logits.argmax(1), logits, None)
    assert log_loss(scores, np.array([1, 1])) == 500.0


def test_a_probability_of_zero_costs_what_scikit_learn_says():
    probabilities = np.array([[1.0, 0.0], [0.25, 0.75]], dtype=np.float32)
    scores = Scores(probabilities.argmax(1), None, probabilities)
    y = np.array([1, 1])
    assert log_loss(scores, y) == pytest.approx(sklearn.metrics.log_loss(y, probabilities, labels=[0, 1]), rel=1e-6)


def test_no_probabilities_no_loss():
    metrics = score(Scores(np.array([1, 0]), None, None), np.array([1, 1]))
    assert (metrics.accuracy, metrics.loss, metrics.n_samples) == (0.5, None, 2)
