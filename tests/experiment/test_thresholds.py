"""Thresholds of --fail-under and --fail-above."""

from __future__ import annotations

import pytest

from mlcli.errors import ThresholdError, UsageError
from mlcli.experiment.thresholds import check_thresholds, names_of, parse_thresholds

NAMES = names_of(("", "validation_"), others=("macro_recall",))


def missed(scores, *, under=(), above=(), undefined=None):
    thresholds = parse_thresholds(under, above, NAMES)
    try:
        check_thresholds(thresholds, scores, undefined or {})
    except ThresholdError as error:
        return str(error).splitlines()
    return []


def test_higher_is_better_for_scores_and_lower_for_losses():
    scores = {"roc_auc": 0.9, "validation_loss": 0.5}
    assert missed(scores, under=["roc_auc=0.9"], above=["validation_loss=0.5"]) == []
    assert missed(scores, under=["roc_auc=0.91"], above=["validation_loss=0.49"]) == [
        "--fail-under: roc_auc 0.9000 is below 0.91",
        "--fail-above: validation_loss 0.5000 is above 0.49",
    ]


def test_a_score_that_does_not_exist_misses_every_threshold():
    assert missed({"roc_auc": None}, under=["roc_auc=0"]) == ["--fail-under: roc_auc does not exist"]
    assert missed({}, above=["brier_score=2"], undefined={"brier_score": "the model gives no probabilities"}) == [
        "--fail-above: brier_score does not exist: the model gives no probabilities"
    ]


def test_the_last_of_several_thresholds_of_one_score_counts():
    assert missed({"accuracy": 0.7}, under=["accuracy=0.9", "accuracy=0.5"]) == []


@pytest.mark.parametrize(
    ("under", "above", "text"),
    [
        (["loss=0.3"], [], "lower is better for loss; use --fail-above loss=0.3"),
        (["brier_score=0.3"], [], "use --fail-above brier_score=0.3"),
        ([], ["macro_recall=0.3"], "higher is better for macro_recall; use --fail-under macro_recall=0.85"),
        (["roc-auc=0.3"], [], "did you mean 'roc_auc'"),
        (["accuracy=1.1"], [], "expected a number between 0 and 1, e.g. accuracy=0.85"),
        ([], ["loss=-1"], "expected a number of 0 or more, e.g. loss=0.3"),
        ([], ["loss=inf"], "expected a number of 0 or more"),
        ([], ["loss=nan"], "expected a number of 0 or more"),
        (["accuracy"], [], "expected a number between 0 and 1"),
    ],
)
def test_a_threshold_that_cannot_be_meant_is_refused(under, above, text):
    with pytest.raises(UsageError, match=text):
        parse_thresholds(under, above, NAMES)
