"""The expected calibration error compared with its definition and scikit-learn's bins."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from mlcli.metrics.scores import calibration, confidence
from mlcli.records import Scores


def scored(n=2000, n_classes=4):
    generator = np.random.default_rng(2)
    logits = 2 * generator.normal(size=(n, n_classes))
    probabilities = (np.exp(logits) / np.exp(logits).sum(1, keepdims=True)).astype(np.float32)
    y = generator.integers(0, n_classes, n)
    return Scores(probabilities.argmax(1), None, probabilities), y


def test_bins_equal_scikit_learns_and_the_error_is_their_weighted_difference():
    scores, y = scored()
    result = calibration(scores, y)
    hits = scores.labels == y
    accuracies, confidences = calibration_curve(hits, scores.probabilities.max(1), n_bins=15, strategy="uniform")
    filled = [part for part in result.bins if part.n_samples]
    assert [part.accuracy for part in filled] == pytest.approx(accuracies.tolist())
    assert [part.confidence for part in filled] == pytest.approx(confidences.tolist(), rel=1e-6)
    weights = np.array([part.n_samples for part in filled]) / len(y)
    assert result.error == pytest.approx(np.sum(weights * np.abs(accuracies - confidences)), rel=1e-6)
    assert len(result.bins) == 15


def test_the_error_equals_a_case_calculated_by_hand():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.4, 0.6]], dtype=np.float32)
    scores = Scores(probabilities.argmax(1), None, probabilities)
    y = np.array([0, 1, 1, 1])
    # One bin has confidence 0.9 twice and accuracy 0.5, another 0.6 twice and accuracy 1.
    assert calibration(scores, y).error == pytest.approx(0.5 * 0.4 + 0.5 * 0.4, rel=1e-6)


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    probabilities = np.array([[1.0, 0.0], [0.5, 0.5]], dtype=np.float32)
    bins = calibration(Scores(np.array([0, 0]), None, probabilities), np.array([0, 0]), n_bins=2).bins
    assert [part.n_samples for part in bins] == [1, 1]


def test_confidence_is_the_probability_of_the_predicted_class_even_if_another_is_higher():
    probabilities = np.array([[0.6, 0.4]], dtype=np.float32)
    assert confidence(Scores(np.array([1]), None, probabilities)).tolist() == pytest.approx([0.4])


def test_without_probabilities_there_is_no_calibration():
    assert calibration(Scores(np.array([1]), None, None), np.array([1])) is None
