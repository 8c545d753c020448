"""The metrics compared with those of scikit-learn, whose definitions they share."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics.scores import (
    accuracy,
    class_scores,
    confident_mistakes,
    confusion_matrix,
    log_loss,
    macro_average,
    score,
)
from mlcli.records import Scores

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def scored():
    generator = np.random.default_rng(0)
    logits = (generator.normal(size=(500, 7)) * 2).astype(np.float32)
    shifted = np.exp(logits - logits.max(1, keepdims=True))
    probabilities = shifted / shifted.sum(1, keepdims=True)
    return Scores(logits.argmax(1), logits, probabilities), generator.integers(0, 7, 500)


def test_accuracy_equals_scikit_learns(scored):
    scores, y = scored
    assert accuracy(scores.labels, y) == sklearn.metrics.accuracy_score(y, scores.labels)


def test_loss_from_probabilities_equals_scikit_learns(scored):
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


def test_loss_of_a_zero_probability_equals_scikit_learns():
    probabilities = np.array([[1.0, 0.0], [0.25, 0.75]], dtype=np.float32)
    scores = Scores(probabilities.argmax(1), None, probabilities)
    y = np.array([1, 1])
    assert log_loss(scores, y) == pytest.approx(sklearn.metrics.log_loss(y, probabilities, labels=[0, 1]), rel=1e-6)


def test_without_probabilities_there_is_no_loss():
    metrics = score(Scores(np.array([1, 0]), None, None), np.array([1, 1]))
    assert (metrics.accuracy, metrics.loss, metrics.n_samples) == (0.5, None, 2)


@pytest.fixture
def labels_and_truth():
    """Return predicted and true labels. Class 3 is never predicted, class 4 is never true."""
    generator = np.random.default_rng(1)
    y = generator.integers(0, 4, 300)
    labels = np.where(generator.random(300) < 0.6, y, generator.choice([0, 1, 2, 4], 300))
    return np.where(labels == 3, 0, labels), y


def test_confusion_matrix_equals_scikit_learns(labels_and_truth):
    labels, y = labels_and_truth
    expected = sklearn.metrics.confusion_matrix(y, labels, labels=range(5))
    assert np.array_equal(confusion_matrix(labels, y, 5), expected)


def test_class_scores_equal_scikit_learns(labels_and_truth):
    labels, y = labels_and_truth
    expected = sklearn.metrics.precision_recall_fscore_support(y, labels, labels=range(5), zero_division=0)
    found = class_scores(confusion_matrix(labels, y, 5), NAMES)
    assert [scores.name for scores in found] == list(NAMES)
    for field, values in zip(("precision", "recall", "f1", "n_samples"), expected, strict=True):
        assert [getattr(scores, field) for scores in found] == pytest.approx(values)


def test_a_class_that_was_never_predicted_has_precision_zero_and_one_without_samples_recall_zero(labels_and_truth):
    labels, y = labels_and_truth
    scores = class_scores(confusion_matrix(labels, y, 5), NAMES)
    assert (scores[3].precision, scores[3].recall, scores[3].f1) == (0.0, 0.0, 0.0)
    assert (scores[4].precision, scores[4].recall, scores[4].f1) == (0.0, 0.0, 0.0)


def macro_of_scikit_learn(labels, y):
    metrics = (sklearn.metrics.precision_score, sklearn.metrics.recall_score, sklearn.metrics.f1_score)
    return [metric(y, labels, average="macro", zero_division=0) for metric in metrics]


@pytest.mark.parametrize("n_classes", [5, 6, 9])  # from 5 on, classes are absent from the labels and the predictions
def test_the_macro_average_is_scikit_learns(labels_and_truth, n_classes):
    labels, y = labels_and_truth
    names = [str(index) for index in range(n_classes)]
    macro = macro_average(class_scores(confusion_matrix(labels, y, n_classes), names))
    assert [macro.precision, macro.recall, macro.f1] == pytest.approx(macro_of_scikit_learn(labels, y))
    assert macro.n_samples == 300


def test_the_macro_precision_of_one_constant_prediction_in_ten_classes_is_a_hundredth():
    y = np.arange(100) % 10
    macro = macro_average(class_scores(confusion_matrix(np.zeros_like(y), y, 10), [str(i) for i in range(10)]))
    assert (macro.precision, macro.recall) == pytest.approx((0.01, 0.1))


def test_a_class_that_is_neither_predicted_nor_present_has_no_scores():
    scores = class_scores(confusion_matrix(np.array([0, 1]), np.array([0, 0]), 3), NAMES[:3])
    assert (scores[2].precision, scores[2].recall, scores[2].f1) == (None, None, None)


PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9]], dtype=np.float32)
Y = np.array([1, 0, 1, 1, 1])


def test_the_most_confident_come_first_and_ties_keep_their_order():
    mistakes = confident_mistakes(Scores(PROBABILITIES.argmax(1), None, PROBABILITIES), Y, 10)
    assert [mistake.index for mistake in mistakes] == [0, 3, 1, 2]
    assert (mistakes[2].true, mistakes[2].predicted) == (0, 1)
    assert mistakes[2].probability == float(np.float32(0.8))


def test_at_most_n_are_returned():
    scores = Scores(PROBABILITIES.argmax(1), None, PROBABILITIES)
    assert [mistake.index for mistake in confident_mistakes(scores, Y, 2)] == [0, 3]
    assert confident_mistakes(scores, Y, 0) == ()


def test_without_probabilities_they_are_ordered_by_index():
    mistakes = confident_mistakes(Scores(PROBABILITIES.argmax(1), None, None), Y, 3)
    assert [(mistake.index, mistake.probability) for mistake in mistakes] == [(0, None), (1, None), (2, None)]
