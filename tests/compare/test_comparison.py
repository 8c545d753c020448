"""Existing runs: found, grouped into variants and compared."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from mlcli.compare.baseline import open_baseline, shortfalls
from mlcli.compare.comparison import compare_results
from mlcli.compare.variants import find_results
from mlcli.config.experiment import load_experiment
from mlcli.errors import DataError, UsageError
from mlcli.experiment.plan import make_plan
from mlcli.runs.directory import RunDirectory
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train


def _train(runs_directory, seed, *settings):
    base = ["dataset=digits", "backend=sklearn", f"seed={seed}", "training.epochs=4", "model.hidden=[32]"]
    plan = make_plan(load_experiment(None, settings=[*base, *settings], environ={}))
    return train(plan, RunPaths(runs_directory), 1, QuietProgress()).record.run_id


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two learning rates, one of which is far too small, with three seeds each."""
    directory = tmp_path_factory.mktemp("runs")
    for seed in range(3):
        _train(directory, seed, "optimizer.lr=0.003")
        _train(directory, seed, "optimizer.lr=0.0001")
    return directory


@pytest.fixture
def own_runs(runs, tmp_path):
    shutil.copytree(runs, tmp_path / "runs")
    return tmp_path / "runs"


def compare_runs(references, runs_directory, **options):
    return compare_results(find_results(references, runs_directory), **options)


def _by_label(comparison):
    return {variant.label: variant for variant in comparison.variants}


def test_runs_that_differ_in_the_seed_alone_are_one_variant(runs):
    comparison = compare_runs(["*"], runs)
    seeds = {label: [run.draw.seed for run in variant.runs] for label, variant in _by_label(comparison).items()}
    assert seeds == {"lr=0.003": [0, 1, 2], "lr=0.0001": [0, 1, 2]}


def test_a_clear_difference_is_called_one_in_both_directions(runs):
    for reference, word in (("lr=0.003", "lower"), ("lr=0.0001", "higher")):
        comparison = compare_runs(["*"], runs, reference=reference)
        (pair,) = comparison.pairs
        assert pair.reference == comparison.reference == reference
        assert pair.accuracy_verdict.word == word


def test_the_measurements_are_those_of_the_records(runs):
    comparison = compare_runs(["*"], runs)
    for variant in comparison.variants:
        records = [RunDirectory(runs / run.run_id).read_record() for run in variant.runs]
        accuracies = [record.metrics["test"].accuracy for record in records]
        assert comparison.means[variant.label]["accuracy"].mean == pytest.approx(np.mean(accuracies))
        assert [run.correct.mean() for run in variant.runs] == pytest.approx(accuracies)
        timing, measured = records[0].timing, variant.runs[0].measurements
        assert measured["fit_seconds"] == timing.first_epoch_seconds + timing.remaining_epochs_seconds
        assert measured["steady_epoch_seconds"] == pytest.approx(timing.remaining_epochs_seconds / 3)


def test_the_receipt_has_a_column_per_variant_over_the_common_seeds(runs):
    receipt = compare_runs(["*"], runs).receipt
    assert set(receipt.run_ids) == {"lr=0.003", "lr=0.0001"}
    assert [row.what for row in receipt.different] == ["optimizer"]
    controlled = {row.what: row.values[0] for row in receipt.rows if row.is_equal}
    assert controlled["seed"] == "0, 1, 2"
    assert len(controlled["initial weights"].split(", ")) == 3


def test_a_run_can_be_named_by_path_id_prefix_or_glob_and_counts_once(runs, monkeypatch):
    names = sorted(path.name for path in runs.iterdir())
    monkeypatch.chdir(runs.parent)
    references = [names[0], str(runs / names[0]), f"{runs.name}/{names[1]}", names[2][:-1], f"*{names[3][-6:]}", "last"]
    found = compare_runs(references, runs)
    assert sum(len(variant.runs) for variant in found.variants) == len({*names[:4], names[-1]})


def test_a_glob_without_a_match_is_refused(runs):
    with pytest.raises(UsageError, match="no run in .* matches"):
        compare_runs(["nothing*"], runs)


@pytest.mark.parametrize("setting", ["dataset.split_seed=1", "dataset.limit=500", "dataset=iris"])
def test_other_data_or_splits_are_refused_unless_allowed(own_runs, setting):
    _train(own_runs, 0, "optimizer.lr=0.003", setting)
    with pytest.raises(UsageError, match="different (datasets|splits).*digits(.|\n)*--allow-different-data"):
        compare_runs(["*"], own_runs)
    comparison = compare_runs(["*"], own_runs, allow_different_data=True)
    assert len(comparison.variants) == 3


def test_scores_on_other_samples_get_no_verdict(own_runs):
    _train(own_runs, 0, "optimizer.lr=0.003", "dataset.split_seed=1")
    comparison = compare_runs(["*"], own_runs, allow_different_data=True)
    other = next(label for label in _by_label(comparison) if "split_seed=1" in label)
    judged = [pair for pair in comparison.pairs if other in (pair.variant, pair.reference)]
    assert len(judged) == 2
    assert all(pair.accuracy is None and pair.accuracy_verdict is None for pair in judged)


def test_a_run_that_failed_is_named_with_its_reason_and_not_ranked(own_runs):
    failed = next(iter(sorted(own_runs.glob("*_s2_*"))))
    (failed / "metrics.json").unlink()
    comparison = compare_runs(["*"], own_runs)
    assert sorted(len(variant.runs) for variant in comparison.variants) == [2, 3]
    ((failure,),) = [variant.failures for variant in comparison.variants if variant.failures]
    assert failure.seed == 2
    assert "unfinished" in failure.reason
    assert comparison.pairs[0].seeds == (0, 1)
    assert any("different seeds" in note for note in comparison.notes)


def test_a_flipped_byte_in_the_predictions_is_noticed(own_runs):
    path = next(own_runs.glob("*/predictions.npz"))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match="predictions.npz was altered"):
        compare_runs(["*"], own_runs)


def test_of_two_runs_with_the_same_seed_the_newest_is_used_with_a_note(own_runs):
    run_id = _train(own_runs, 0, "optimizer.lr=0.003")
    comparison = compare_runs(["*"], own_runs)
    variant = _by_label(comparison)["lr=0.003"]
    assert [run.draw.seed for run in variant.runs] == [0, 1, 2]
    assert variant.runs[0].run_id == run_id
    assert any("several runs with seed 0" in note for note in comparison.notes)


def test_an_unknown_reference_is_refused_with_the_known_ones(runs):
    with pytest.raises(UsageError, match=r"--reference.*lr=0.003"):
        compare_runs(["*"], runs, reference="keras")


def test_a_variant_that_is_worse_than_baseline_runs_is_found_and_an_equal_one_is_not(runs):
    comparison = compare_runs(["*"], runs)
    variants = _by_label(comparison)
    for n in (1, 3):
        good, bad = (
            open_baseline([run.run_id for run in variants[label].runs[:n]], runs) for label in ("lr=0.003", "lr=0.0001")
        )
        (found,) = shortfalls(comparison.ran, good)
        assert found.variant == "lr=0.0001"
        assert found.score < found.baseline_score - 0.05
        assert "about the two configurations" in found.text
        assert ("assumes that both vary equally" in found.text) == (n == 1)
        assert shortfalls(comparison.ran, bad) == []


def test_a_single_run_is_judged_against_another_by_mcnemar(runs):
    whole = _by_label(compare_runs(["*"], runs))
    good, bad = (whole[label].runs[0].run_id for label in ("lr=0.003", "lr=0.0001"))
    (found,) = shortfalls(compare_runs([bad], runs).ran, open_baseline([good], runs))
    assert "McNemar's test of these two trained models" in found.text
    assert shortfalls(compare_runs([good], runs).ran, open_baseline([good], runs)) == []


def test_baseline_runs_are_finished_runs_of_one_configuration(own_runs):
    with pytest.raises(UsageError, match=r"--fail-if-worse: .* more than the seed: lr=0.003; lr=0.0001"):
        open_baseline(["*"], own_runs)
    first, second = sorted(own_runs.glob("*_s0_*"))
    shutil.copytree(first, own_runs / f"{first.name}again")
    with pytest.raises(UsageError, match="the same seed"):
        open_baseline([f"{first.name}*"], own_runs)
    (second / "metrics.json").unlink()
    with pytest.raises(UsageError, match="a baseline run is unfinished"):
        open_baseline([second.name], own_runs)


def test_times_of_separate_runs_are_not_compared(runs):
    comparison = compare_runs(["*"], runs)
    assert [(pair.time, pair.has_comparable_times) for pair in comparison.pairs] == [(None, False)]


def test_one_seed_each_is_inconclusive(runs):
    comparison = compare_runs(["*_s0_*"], runs)
    (pair,) = comparison.pairs
    assert pair.accuracy_verdict.word == "inconclusive"
    assert pair.mcnemar_p < 0.001
