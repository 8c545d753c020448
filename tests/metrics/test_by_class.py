"""Scores by class compared with those of scikit-learn, whose definitions they share."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics.by_class import class_scores, confusion_matrix, macro_average, probability_scores
from mlcli.records import Scores

NAMES = ("a", "b", "c", "d", "e")


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


def test_scores_of_probabilities_by_class_equal_scikit_learns():
    generator = np.random.default_rng(3)
    y = generator.choice([0, 1, 2, 4], 300)  # no sample of class 3
    probabilities = np.round(generator.dirichlet(np.ones(5), 300), 1).astype(np.float32)
    scores = Scores(probabilities.argmax(axis=1), None, probabilities)
    classes = class_scores(confusion_matrix(scores.labels, y, 5), NAMES, probability_scores(scores, y))
    for label in (0, 1, 2, 4):
        truth, column = y == label, probabilities[:, label]
        assert classes[label].roc_auc == pytest.approx(sklearn.metrics.roc_auc_score(truth, column), rel=1e-12)
        assert classes[label].pr_auc == pytest.approx(sklearn.metrics.average_precision_score(truth, column), rel=1e-12)
        assert classes[label].brier_score == pytest.approx(sklearn.metrics.brier_score_loss(truth, column))
    assert (classes[3].roc_auc, classes[3].pr_auc) == (None, None)
    assert macro_average(classes).roc_auc == pytest.approx(np.mean([classes[i].roc_auc for i in (0, 1, 2, 4)]))
