"""Comparisons by another metric than accuracy, of real runs."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from mlcli.compare import CompareRequest
from mlcli.compare import run as compare
from mlcli.compare.comparison import compare_results
from mlcli.compare.conclusions import conclusions, score_verdict_text
from mlcli.compare.html import comparison_html
from mlcli.compare.judged_metric import metric_notes, unjudged_reason
from mlcli.compare.next_step import next_step
from mlcli.compare.records import MatrixCost, SampleValues
from mlcli.compare.report import comparison_document
from mlcli.compare.tables import comparison_tables
from mlcli.compare.variants import find_results
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError, WorseError
from mlcli.experiment.plan import make_plan
from mlcli.registry import METRICS
from mlcli.schema.documents import document_schema
from mlcli.text import to_json
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three forests of depth 4 and three of depth 1 on breast_cancer, and an estimator without probabilities."""
    directory = tmp_path_factory.mktemp("runs")
    forests = [("RandomForestClassifier", {"n_estimators": 12, "max_depth": depth}) for depth in (4, 1)]
    for kind, parameters in [*forests, ("RidgeClassifier", {})]:
        for seed in range(3 if parameters else 1):
            model = {"name": "estimator", "estimator": kind, "parameters": parameters}
            settings = {"backend": "sklearn", "dataset": {"name": "breast_cancer"}, "model": model, "seed": seed}
            name = f"{parameters.get('max_depth', 'ridge')}_{seed}"
            plan = make_plan(ExperimentConfig.model_validate(settings))
            train(plan, RunPaths(directory, directory / name), 1, QuietProgress(show_notes=False))
    return directory


def compared(runs, metric, *references):
    return compare_results(find_results(references or ("4_*", "1_*"), runs, metric), metric=metric)


@pytest.mark.parametrize("metric", METRICS)
def test_means_differences_and_words_are_of_the_chosen_metric(runs, metric):
    comparison = compared(runs, metric)
    deep, shallow = comparison.variants
    (pair,) = comparison.pairs
    values = [[getattr(run.facts.record.metrics["test"], metric) for run in side.runs] for side in (deep, shallow)]
    assert comparison.means[deep.label][metric].mean == pytest.approx(np.mean(values[0]))
    assert pair.score.mean == pytest.approx(np.mean(values[1]) - np.mean(values[0]))
    is_better = pair.score.mean * METRICS[metric].sign > 0
    text = score_verdict_text(pair, metric)
    assert text in ("better" if is_better else "worse", "tie") or text.startswith(("inconclusive", "indistinguishable"))
    sentence = conclusions(comparison)[0]
    assert sentence.startswith(f"{METRICS[metric].title}: ")
    leader = shallow if is_better else deep
    assert (
        sentence.startswith(f"{METRICS[metric].title}: {leader.label} ") or "tie" in sentence or "same mean" in sentence
    )
    headers = list(comparison_tables(comparison)[0].rows[0])
    assert any(header.startswith(METRICS[metric].title) for header in headers)


def test_loss_and_brier_score_call_the_deeper_forest_better(runs):
    for metric in ("loss", "brier_score"):
        (pair,) = compared(runs, metric).pairs
        assert (score_verdict_text(pair, metric), pair.score_verdict.word) == ("worse", "higher")


def test_accuracy_keeps_its_keys_whatever_metric_is_chosen(runs):
    by_accuracy, by_loss = (comparison_document(compared(runs, metric)) for metric in ("accuracy", "loss"))
    for key in ("accuracy", "accuracy_verdict", "accuracy_is", "mcnemar_p"):
        assert by_loss["pairs"][0][key] == by_accuracy["pairs"][0][key]
    assert by_accuracy["pairs"][0]["score"] == by_accuracy["pairs"][0]["accuracy"]
    for document in (by_accuracy, by_loss):
        assert list(Draft202012Validator(document_schema("compare")).iter_errors(json.loads(to_json(document)))) == []


def test_a_metric_that_a_run_lacks_is_not_judged_and_the_reason_is_given(runs):
    comparison = compared(runs, "roc_auc", "4_*", "ridge_*")
    (pair,) = comparison.pairs
    assert (pair.score, pair.score_verdict, score_verdict_text(pair, "roc_auc")) == (None, None, None)
    assert (
        "no overall verdict; run ridge_0 has none, because the model gives no probabilities"
        in conclusions(comparison)[0]
    )
    assert any(note.startswith("ROC AUC is not judged: run ridge_0 has none") for note in comparison.notes)
    assert pair.accuracy is not None


def test_a_class_with_few_test_samples_is_not_judged_by_metrics_that_weigh_classes_equally(runs):
    (variant, _) = compared(runs, "roc_auc").variants
    samples = SampleValues(np.zeros(100), np.repeat([0, 1], [91, 9]))
    rare = [replace(run, samples=samples) for run in variant.runs]
    assert unjudged_reason("roc_auc", rare).startswith("a class has 9 test samples, and 10 are needed")
    assert unjudged_reason("loss", rare) is None


def test_the_samples_of_a_class_are_counted_over_all_folds(runs):
    """Three folds with 4 samples of a class have 12; two runs on the same fold do not have more."""
    (variant, _) = compared(runs, "roc_auc").variants
    samples = SampleValues(np.zeros(100), np.repeat([0, 1], [96, 4]))
    of_folds = [replace(run, samples=samples, test_digest=f"fold {fold}") for fold, run in enumerate(variant.runs)]
    assert unjudged_reason("roc_auc", of_folds) is None
    assert unjudged_reason("roc_auc", of_folds[:2] * 2).startswith("a class has 8 test samples")


def test_what_always_predicting_the_largest_class_scores_is_noted(runs):
    comparison = compared(runs, "accuracy")
    assert "always predicting the largest class has a test accuracy of 0.6316" in comparison.notes
    assert metric_notes([], "accuracy") == []


def test_the_baseline_is_compared_by_the_metric(runs, capsys):
    request = CompareRequest(runs_dir=runs, inputs=["1_*"], fail_if_worse=["4_*"], metric="loss", quiet=True)
    with pytest.raises(WorseError, match=r"has a worse loss than 3 baseline runs: 0\.\d+ \(3 runs\) against 0\.0?\d+"):
        compare(request)
    compare(replace(request, inputs=["4_*"], fail_if_worse=["1_*"]))
    with pytest.raises(UsageError, match="loss is not judged: run ridge_0 has none"):
        compare(replace(request, inputs=["4_*"], fail_if_worse=["ridge_*"]))
    with pytest.raises(UsageError, match="unknown metric 'auc'"):
        compare(replace(request, metric="auc"))


def test_the_next_step_and_the_page_name_the_metric(runs):
    comparison = compared(runs, "roc_auc")
    assert "ROC AUC +" in (page := comparison_html(comparison)) or "ROC AUC -" in page  # what the plot shows
    pair = comparison.pairs[0]
    verdict = replace(pair.score_verdict, word="inconclusive", n_needed=5)
    cost = MatrixCost(6, 6, 0, 0, 1.0, 1.0, 1.0)
    unsettled = replace(comparison, pairs=(replace(pair, score_verdict=verdict),), cost=cost)
    step = next_step(unsettled, CompareRequest(backends="sklearn,torch", metric="roc_auc"))
    assert "ROC AUC" in step
    assert "--metric roc_auc" in step
