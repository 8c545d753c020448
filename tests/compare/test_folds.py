"""Comparisons over folds, of runs on disk and of matrices: pairs, verdicts, what is refused, and what is reported."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from jsonschema import Draft202012Validator

from mlcli.compare import CompareRequest, execution, run
from mlcli.compare.baseline import open_baseline, shortfalls
from mlcli.compare.cells import EXPERIMENT, LOG
from mlcli.compare.comparison import compare_results
from mlcli.compare.conclusions import accuracy_verdict_text, conclusions, method
from mlcli.compare.html import comparison_html
from mlcli.compare.next_step import next_step
from mlcli.compare.records import MatrixCost
from mlcli.compare.report import comparison_document
from mlcli.compare.tables import comparison_tables
from mlcli.compare.variants import find_results
from mlcli.config.experiment import load_experiment
from mlcli.errors import PartialFailureError, UsageError, WorseError
from mlcli.experiment.plan import make_plan
from mlcli.registry import METRICS
from mlcli.schema.documents import document_schema
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train

TREE = """
dataset: {dataset}
backend: sklearn
model: {{name: estimator, estimator: DecisionTreeClassifier}}
"""
VARY = ("model.parameters.max_depth=4,1",)


def _train(runs_directory, *settings, config=None):
    base = ["dataset=iris", "backend=sklearn", "model.name=estimator", "model.estimator=DecisionTreeClassifier"]
    experiment = load_experiment(config, settings=settings if config else [*base, *settings], environ={})
    return train(make_plan(experiment), RunPaths(runs_directory), 1, QuietProgress()).record.run_id


def _train_folds(runs_directory, max_depth, *, folds=3, repeats=2, settings=()):
    for number in range(folds * repeats):
        repeat, fold = divmod(number, folds)
        draw = [f"seed={number}", f"dataset.fold={fold}", f"dataset.split_seed={repeat}"]
        _train(runs_directory, f"dataset.folds={folds}", f"model.parameters.max_depth={max_depth}", *draw, *settings)


class InProcess:
    """An executor that trains in this process."""

    n_slots = 1

    def __init__(self, request, runs_directory, session):
        self._runs_directory = runs_directory

    def run(self, folder, lock, stopped):
        _train(self._runs_directory, config=folder / EXPERIMENT)
        return 0

    def stop(self):
        pass


@pytest.fixture
def matrix(tmp_path, monkeypatch, capsys):
    """Run `compare` on a dataset with cells in this process; return its JSON document and its notes."""
    monkeypatch.setitem(execution._EXECUTORS, "local", InProcess)

    def compare(dataset="iris", **request):
        path = tmp_path / "tree.yaml"
        path.write_text(TREE.format(dataset=dataset))
        options = {"vary": VARY, "folds": 3, "runs_dir": tmp_path / "runs", "output_format": "json"}
        capsys.readouterr()
        run(CompareRequest(inputs=[str(path)], **options | request))
        return json.loads(capsys.readouterr().out)

    return compare


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Trees of depths four and one on three folds of two repeats; the latter cannot tell three classes apart."""
    directory = tmp_path_factory.mktemp("runs")
    for max_depth in (4, 1):
        _train_folds(directory, max_depth)
    return directory


@pytest.fixture
def own_runs(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def compare_runs(runs_directory, metric="accuracy", **options):
    return compare_results(find_results(["*"], runs_directory, metric), metric=metric, **options)


def test_runs_on_folds_are_one_variant_and_are_paired_by_fold(runs):
    comparison = compare_runs(runs)
    assert [(variant.label, len(variant.runs)) for variant in comparison.variants] == [
        ("max_depth=4", 6), ("max_depth=1", 6),
    ]  # fmt: skip
    first, second = (
        [run.measurements["accuracy"] for run in sorted(variant.runs, key=lambda run: run.draw)]
        for variant in comparison.variants
    )
    (pair,) = comparison.pairs
    assert pair.accuracy.mean == pytest.approx(np.mean(second) - np.mean(first))
    assert pair.accuracy.variance == pytest.approx(np.var(np.subtract(second, first), ddof=1))
    assert (pair.n_runs, pair.n_folds, pair.n_repeats, pair.seeds) == (6, 3, 2, (0, 1, 2, 3, 4, 5))
    assert (pair.accuracy.n_samples, pair.accuracy.n_differences) == (150, 6)
    assert pair.accuracy_verdict.word == "lower"


def test_the_interval_of_a_mean_takes_the_overlap_into_account(runs):
    comparison = compare_runs(runs)
    accuracies = [run.measurements["accuracy"] for run in comparison.variants[0].runs]
    found = comparison.means["max_depth=4"]["accuracy"]
    error = np.sqrt((1 / 3 + 1 / 2) * np.var(accuracies, ddof=1))
    assert found.mean == pytest.approx(np.mean(accuracies))
    assert found.low == pytest.approx(found.mean - 2.570582 * error, rel=1e-6)
    assert found.n_runs == 6


def test_the_report_says_folds_and_repeats_and_that_they_were_controlled(runs):
    comparison = compare_runs(runs)
    text = " ".join(conclusions(comparison))
    assert "max_depth=4 is the most accurate" in text
    assert "these folds find a true difference" in text
    assert "models trained on other samples of this size from the same source" in method(comparison)
    scores = comparison_tables(comparison)[0]
    assert scores.title == "iris_estimator on iris: 2 variants, 3 folds, 2 repeats"
    assert [row["folds"] for row in scores.rows] == ["6", "6"]
    controlled = {row.what: row.values[0] for row in comparison.receipt.rows if row.is_equal}
    assert controlled["folds"] == "3"
    assert controlled["fold"] == "0, 1, 2"
    assert controlled["split seed"] == "0, 1"
    assert {"split", "training samples", "test samples", "seed"} <= controlled.keys()
    assert [row.what for row in comparison.receipt.different] == ["model"]
    html = comparison_html(comparison)
    assert "fold 2 of split seed 1" in html
    assert "agreement" not in html.lower()


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_is_judged_over_folds(runs, metric):
    """Accuracy and balanced accuracy of iris, whose folds have equally many samples of each class, are the same."""
    comparison, info = compare_runs(runs, metric), METRICS[metric]
    (pair,) = comparison.pairs
    first, second = ([run.measurements[metric] for run in variant.runs] for variant in comparison.variants)
    assert pair.score.mean == pytest.approx(np.mean(second) - np.mean(first))
    assert pair.score.variance == pytest.approx(np.var(np.subtract(second, first), ddof=1))
    assert pair.score.margin == pytest.approx(0.05 * np.mean(first) if info.is_lower_better else 0.01)
    assert pair.score.n_samples == 150
    assert pair.score_verdict.word in ("inconclusive", "lower" if info.sign > 0 else "higher")
    assert (pair.score_verdict.word == "inconclusive") == (metric == "loss")
    assert method(comparison).startswith(f"{info.title}: about models trained on other samples of this size")
    assert ("McNemar" in method(comparison)) == (metric == "accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "balanced_accuracy"])
def test_the_document_is_as_its_schema_describes_it(runs, metric):
    document = json.loads(json.dumps(comparison_document(compare_runs(runs, metric))))
    assert list(Draft202012Validator(document_schema("compare")).iter_errors(document)) == []
    assert {(run["split_seed"], run["fold"]) for run in document["variants"][0]["runs"]} == {
        (repeat, fold) for repeat in range(2) for fold in range(3)
    }


def test_only_folds_that_both_have_are_compared(own_runs):
    removed = sorted(own_runs.glob("*_s5_*"))[0]
    shutil.rmtree(removed)
    comparison = compare_runs(own_runs)
    (pair,) = comparison.pairs
    assert (pair.n_runs, pair.accuracy.n_differences, pair.accuracy.n_samples) == (5, 5, 150)
    assert any("only the folds or seeds that two variants share" in note for note in comparison.notes)


def test_folds_of_another_number_and_single_splits_are_never_paired_with_folds(own_runs):
    """The test labels of all folds of iris are the same, and so are those of its default test split and five folds."""
    for settings in (["dataset.folds=5"], []):
        run_id = _train(own_runs, "model.parameters.max_depth=4", *settings)
        with pytest.raises(UsageError, match="different splits"):
            compare_runs(own_runs)
        comparison = compare_runs(own_runs, allow_different_data=True)
        other = next(variant.label for variant in comparison.variants if len(variant.runs) == 1)
        judged = [pair for pair in comparison.pairs if other in (pair.variant, pair.reference)]
        assert len(judged) == 2
        assert all(pair.accuracy is None for pair in judged)
        shutil.rmtree(own_runs / run_id)


def test_the_same_fold_with_other_training_samples_is_refused(own_runs):
    _train(own_runs, "dataset.folds=3", "dataset.limit=50", "model.parameters.max_depth=4")
    with pytest.raises(UsageError, match="different splits"):
        compare_runs(own_runs)


def test_other_splits_with_the_same_test_labels_are_never_paired(tmp_path):
    """The samples of iris are sorted by class, so that every stratified test split has the same labels."""
    for split_seed, max_depth in enumerate((4, 1)):
        _train(tmp_path, f"dataset.split_seed={split_seed}", f"model.parameters.max_depth={max_depth}")
    (pair,) = compare_runs(tmp_path, allow_different_data=True).pairs
    assert (pair.accuracy, pair.mcnemar_p) == (None, None)


def test_groups_are_judged_by_the_folds_alone(tmp_path, penguins):
    data = [f"dataset.path={penguins}", "dataset.name=null", "dataset.target=island", "dataset.group=species"]
    _train_folds(tmp_path, 4, repeats=1, settings=data)
    _train_folds(tmp_path, 1, repeats=1, settings=data)
    comparison = compare_runs(tmp_path)
    (pair,) = comparison.pairs
    assert pair.accuracy.has_dependent_samples
    assert pair.accuracy.n_bounding_samples is None
    assert "samples of a group or a time series are not independent" in method(comparison)
    assert "299" not in method(comparison)
    assert not any("not independent" in note for note in comparison.notes)
    (of_one_fold,) = compare_results(find_results(["*_s0_*"], tmp_path)).notes[-1:]
    assert of_one_fold.startswith("test samples of a group or a time series are not independent")


def test_what_always_predicting_the_largest_class_scores_is_a_mean_over_folds(tmp_path):
    for fold in range(3):
        _train(tmp_path, "dataset=breast_cancer", "dataset.folds=3", f"dataset.fold={fold}", f"seed={fold}")
    guesses = [run.facts.record.metrics["test"].largest_class_accuracy for run in compare_runs(tmp_path).ran[0].runs]
    assert len(set(guesses)) > 1
    note = f"always predicting the largest class has a test accuracy of {np.mean(guesses):.4f}"
    assert note in compare_runs(tmp_path).notes


def test_several_seeds_on_one_fold_are_one_test_set(tmp_path):
    for seed in range(3):
        for max_depth in (4, 1):
            _train(tmp_path, "dataset.folds=3", f"model.parameters.max_depth={max_depth}", f"seed={seed}")
    (pair,) = compare_runs(tmp_path).pairs
    assert (pair.n_folds, pair.n_runs) == (None, 3)
    assert pair.accuracy.n_seeds == 3
    assert pair.accuracy.n_samples == 50


def test_one_seed_for_all_folds_is_noted(own_runs, tmp_path):
    for fold in range(3):
        _train(tmp_path / "same", "dataset.folds=3", f"dataset.fold={fold}")
    assert any("one seed" in note for note in compare_runs(tmp_path / "same").notes)
    assert not any("one seed" in note for note in compare_runs(own_runs).notes)


def test_a_variant_is_worse_than_baseline_runs_on_the_same_folds(runs):
    comparison = compare_runs(runs)
    good, bad = ([run.run_id for run in variant.runs] for variant in comparison.variants)
    by_metric = compare_runs(runs, "balanced_accuracy").ran
    (of_metric,) = shortfalls(by_metric, open_baseline(good, runs, "balanced_accuracy"), "balanced_accuracy")
    assert "max_depth=1 has a worse balanced accuracy than 6 baseline runs" in of_metric.text
    (found,) = shortfalls(comparison.ran, open_baseline(good, runs))
    assert found.variant == "max_depth=1"
    assert "over 6 test parts" in found.text
    assert shortfalls(comparison.ran, open_baseline(bad, runs)) == []
    with pytest.raises(UsageError, match="2 are common"):
        shortfalls(comparison.ran, open_baseline(good[:2], runs))


def test_inconclusive_folds_ask_for_repeats(comparison_of):
    cost = MatrixCost(10, 10, 0, 0, 20.0, 12.0, 6.0)
    wrong = {"a": [50] * 5, "b": [70, 110, 130, 140, 200]}
    comparison = comparison_of({label: (n, [1.0] * 5) for label, n in wrong.items()}, n_folds=5, cost=cost)
    (pair,) = comparison.pairs
    n_repeats = pair.accuracy_verdict.n_needed // 5
    more = f"about {n_repeats - 1} more repeat"
    assert accuracy_verdict_text(pair).startswith(f"inconclusive ({more}")
    assert f"({n_repeats} in all)" in conclusions(comparison)[0]
    request = CompareRequest(inputs=["x.yaml"], folds=5)
    text = next_step(comparison, request)
    assert f"mlcli compare x.yaml --folds 5 --repeats {n_repeats} ({10 * (n_repeats - 1)} more runs" in text


def test_a_matrix_over_folds_runs_each_cell_once_and_repeats_are_added(matrix, tmp_path):
    first = matrix()
    assert (first["cost"]["n_cells"], first["cost"]["n_run"]) == (6, 6)
    assert [(pair["n_folds"], pair["n_repeats"], pair["n_runs"]) for pair in first["pairs"]] == [(3, 1, 3)]
    plan = matrix(repeats=2, dry_run=True)
    assert [cell["state"] for cell in plan["cells"]] == ["finished"] * 6 + ["to run"] * 6
    assert [(cell["split_seed"], cell["fold"], cell["seed"]) for cell in plan["cells"][::2]] == [
        (number // 3, number % 3, number) for number in range(6)
    ]
    assert plan["n_without_estimate"] == 0
    more = matrix(repeats=2)
    assert (more["cost"]["n_reused"], more["cost"]["n_run"]) == (6, 6)
    assert len(list((tmp_path / "runs").glob("*/metrics.json"))) == 12
    several = matrix(seeds="2", dry_run=True)
    assert [cell["state"] for cell in several["cells"][:4]] == ["finished", "finished", "to run", "to run"]


def test_a_table_of_ones_own_is_compared_over_folds(matrix, penguins):
    document = matrix(dataset=f"{{path: {penguins}, target: species}}")
    assert document["pairs"][0]["accuracy"]["n_samples"] == 344
    assert document["pairs"][0]["accuracy_is"] == "worse"
    controlled = {row["what"] for row in document["receipt"]["rows"] if row["is_equal"]}
    assert {"dataset fingerprint", "folds", "split"} <= controlled


def test_a_worse_matrix_fails_against_runs_on_the_same_folds(matrix, tmp_path):
    document = matrix()
    good = [run["run_id"] for run in document["variants"][0]["runs"]]
    with pytest.raises(WorseError, match="max_depth=1 is less accurate than 3 baseline runs"):
        matrix(fail_if_worse=good)
    for baseline, options in ((good[:1], {}), (good, {"folds": 4}), (good, {"folds": None, "seeds": "1"})):
        with pytest.raises(UsageError, match="the same folds"):
            matrix(fail_if_worse=baseline, **options)


def test_a_cell_that_fails_is_named_with_its_fold(matrix, monkeypatch, capsys):
    def fail(self, folder, lock, stopped):
        (folder / LOG).write_text("mlcli: the disk is full\n")
        return 1

    monkeypatch.setattr(InProcess, "run", fail)
    with pytest.raises(PartialFailureError):
        matrix(output_format="markdown", quiet=True)
    assert "fold 2 of split seed 0, seed 2" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"folds": None, "repeats": 2}, "--repeats needs the number of folds"),
        ({"vary": ("dataset.fold=0,1",)}, "the same experiment"),
        ({"settings": ("dataset.test=0.2",)}, "folds and test both"),
        ({"folds": 200}, "200 folds of 150 samples"),
    ],
)
def test_what_cannot_be_folded_is_refused(matrix, request_, message):
    with pytest.raises(UsageError, match=message):
        matrix(**request_)


def test_folds_of_existing_runs_are_refused(runs):
    with pytest.raises(UsageError, match="--folds: existing runs are compared as they are"):
        run(CompareRequest(inputs=["*_s0_*", "*_s1_*"], folds=3, runs_dir=runs))
