"""The metrics compared with those of scikit-learn, whose definitions they share."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics

from mlcli.metrics.scores import accuracy, confident_mistakes, full_score, log_loss, score
from mlcli.records import Scores
from mlcli.registry import METRICS


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


def scikit_learns(y, labels, probabilities):
    """Return the metrics by scikit-learn's own functions; of classes without samples it has no areas."""
    n_classes = probabilities.shape[1]
    present = [label for label in range(n_classes) if 0 < np.count_nonzero(y == label) < len(y)]
    truth, columns = (y[:, None] == np.arange(n_classes))[:, present], probabilities[:, present]
    if n_classes == 2:
        truth, columns = y, probabilities[:, 1]
    expected = {
        "accuracy": sklearn.metrics.accuracy_score(y, labels),
        "balanced_accuracy": sklearn.metrics.recall_score(y, labels, labels=np.unique(y), average="macro"),
        "macro_f1": sklearn.metrics.f1_score(y, labels, average="macro", zero_division=0),
        "brier_score": sklearn.metrics.brier_score_loss(
            y, columns if n_classes == 2 else probabilities, labels=range(n_classes)
        ),
        "loss": sklearn.metrics.log_loss(y, probabilities, labels=range(n_classes)),
    }
    if len(np.unique(y)) > 1:
        expected["roc_auc"] = sklearn.metrics.roc_auc_score(truth, columns, average="macro")
        expected["pr_auc"] = sklearn.metrics.average_precision_score(truth, columns, average="macro")
    return expected


def cases():
    """Return true classes and float32 or float64 probabilities: with ties, absent classes, two classes, few samples."""
    generator = np.random.default_rng(2)

    def probabilities(n_samples, n_classes, y, decimals, dtype):
        raw = np.round(generator.dirichlet(np.ones(n_classes), n_samples) + (y[:, None] == np.arange(n_classes)), 8)
        raw = np.round(raw / raw.sum(axis=1, keepdims=True), decimals) + 1e-6
        return (raw / raw.sum(axis=1, keepdims=True)).astype(dtype)

    drawn = {
        "two classes": (generator.integers(0, 2, 400), 2, 6, np.float64),
        "two classes, ties": (generator.integers(0, 2, 400), 2, 1, np.float32),
        "two classes, one rare": ((generator.random(400) < 0.02).astype(int), 2, 1, np.float32),
        "three classes": (generator.integers(0, 3, 400), 3, 6, np.float32),
        "ten classes, ties": (generator.integers(0, 10, 400), 10, 1, np.float64),
        "classes absent": (generator.choice([1, 4, 5], 200), 7, 2, np.float32),
        "one class of three": (np.full(50, 2), 3, 3, np.float64),
        "one class of two": (np.zeros(50, dtype=int), 2, 3, np.float64),
        "two samples": (np.array([0, 1]), 2, 1, np.float32),
        "constant probabilities": (generator.integers(0, 4, 90), 4, 0, np.float32),
    }
    return {name: (y, probabilities(len(y), n, y, *more)) for name, (y, n, *more) in drawn.items()}


@pytest.mark.filterwarnings("ignore::UserWarning")  # of scikit-learn, on classes without samples
@pytest.mark.parametrize(("y", "probabilities"), cases().values(), ids=cases())
def test_every_metric_equals_scikit_learns(y, probabilities):
    labels = probabilities.argmax(axis=1)
    found = full_score(Scores(labels, None, probabilities), y)
    expected = scikit_learns(y, labels, probabilities)
    assert set(expected) | set(found.undefined) == set(METRICS)
    assert {name: getattr(found, name) for name in expected} == pytest.approx(expected, rel=1e-6, abs=1e-9)
    assert all(getattr(found, name) is None for name in found.undefined)


def test_scikit_learns_roc_auc_of_several_classes_is_the_one_against_the_rest(scored):
    scores, y = scored
    expected = sklearn.metrics.roc_auc_score(y, scores.probabilities, multi_class="ovr", average="macro")
    assert full_score(scores, y).roc_auc == pytest.approx(expected, rel=1e-12)
    assert full_score(scores, y).balanced_accuracy == pytest.approx(
        sklearn.metrics.balanced_accuracy_score(y, scores.labels)
    )


def test_samples_of_one_class_have_no_areas_and_the_reason_is_given():
    found = full_score(Scores(np.array([0, 1]), None, np.array([[0.9, 0.1], [0.2, 0.8]])), np.array([1, 1]))
    assert found.undefined == dict.fromkeys(("roc_auc", "pr_auc"), "all samples are of one class")
    assert (found.roc_auc, found.pr_auc, found.balanced_accuracy) == (None, None, 0.5)


def test_without_probabilities_only_metrics_of_labels_exist():
    found = full_score(Scores(np.array([0, 1, 1]), None, None), np.array([0, 0, 1]), largest_class=0)
    reason = "the model gives no probabilities"
    assert found.undefined == dict.fromkeys(("loss", "roc_auc", "pr_auc", "brier_score"), reason)
    assert (found.balanced_accuracy, found.macro_f1) == pytest.approx((0.75, 2 / 3))
    assert found.largest_class_accuracy == pytest.approx(2 / 3)


def test_a_probability_that_is_not_finite_leaves_its_metrics_undefined():
    found = full_score(Scores(np.array([0, 1]), None, np.array([[np.nan, 0.1], [0.2, 0.8]])), np.array([0, 1]))
    assert (found.brier_score, found.undefined["roc_auc"]) == (None, "a probability is not finite")
