"""The confusion matrix and what follows from it, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics.per_class import class_scores, confusion_matrix, macro_average

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture
def labels_and_truth():
    """Class 3 is never predicted, class 4 never true."""
    generator = np.random.default_rng(1)
    y = generator.integers(0, 4, 300)
    labels = np.where(generator.random(300) < 0.6, y, generator.choice([0, 1, 2, 4], 300))
    return np.where(labels == 3, 0, labels), y


def test_confusion_is_scikit_learns(labels_and_truth):
    labels, y = labels_and_truth
    expected = sklearn.metrics.confusion_matrix(y, labels, labels=range(5))
    assert np.array_equal(confusion_matrix(labels, y, 5), expected)


def test_class_scores_are_scikit_learns_and_undefined_where_it_divides_by_zero(labels_and_truth):
    labels, y = labels_and_truth
    precision, recall, f1, n_samples = sklearn.metrics.precision_recall_fscore_support(
        y, labels, labels=range(5), zero_division=np.nan
    )
    for index, scores in enumerate(class_scores(confusion_matrix(labels, y, 5), NAMES)):
        assert scores.name == NAMES[index]
        assert scores.n_samples == n_samples[index]
        for ours, theirs in ((scores.precision, precision), (scores.recall, recall), (scores.f1, f1)):
            assert (np.nan if ours is None else ours) == pytest.approx(theirs[index], nan_ok=True)


def test_a_class_that_was_never_predicted_has_no_precision(labels_and_truth):
    labels, y = labels_and_truth
    scores = class_scores(confusion_matrix(labels, y, 5), NAMES)
    assert (scores[3].precision, scores[3].recall, scores[3].f1) == (None, 0.0, 0.0)
    assert (scores[4].precision, scores[4].recall) == (0.0, None)


def test_the_macro_average_is_over_the_classes_where_a_score_exists(labels_and_truth):
    labels, y = labels_and_truth
    macro = macro_average(class_scores(confusion_matrix(labels, y, 5), NAMES))
    for name, score in (("precision", macro.precision), ("recall", macro.recall), ("f1", macro.f1)):
        theirs = getattr(sklearn.metrics, f"{name}_score")(
            y, labels, labels=range(5), average="macro", zero_division=np.nan
        )
        assert score == pytest.approx(theirs)
    assert macro.n_samples == 300
