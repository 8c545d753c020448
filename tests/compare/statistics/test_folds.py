"""The difference of two variants over folds, on numbers made by hand."""

from __future__ import annotations

import math
from statistics import variance

import numpy as np
import pytest
from scipy.stats import binomtest, t

from mlcli.compare.statistics.folds import DifferingSamples, folds_difference, variance_factor
from mlcli.compare.statistics.verdicts import accuracy_verdicts

MANY = DifferingSamples.of_answers(10_000, 3_000, 100)  # so many that McNemar's p value does not matter


def _repeated(values, n_repeats, samples=MANY, n_folds=5):
    return folds_difference(values * n_repeats, samples, n_folds, len(values) * n_repeats)


@pytest.mark.parametrize(("n_repeats", "factor"), [(1, 1 / 5 + 1 / 4), (2, 1 / 5 + 1 / 4)])
def test_the_interval_is_that_of_the_t_test_with_the_corrected_variance(n_repeats, factor):
    values = [0.01, 0.05, 0.02, 0.04, 0.06]
    found = _repeated(values, n_repeats)
    error = math.sqrt(factor * variance(values * n_repeats))
    low, high = t.interval(0.95, 5 * n_repeats - 1, np.mean(values), error)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), low, high))
    assert found.p_value == pytest.approx(2 * t.sf(np.mean(values) / error, 5 * n_repeats - 1))


def test_folds_that_are_missing_are_independent_values_less():
    assert variance_factor(3, 5) == pytest.approx(1 / 3 + 1 / 4)
    assert variance_factor(10, 10) == variance_factor(100, 10) == pytest.approx(1 / 10 + 1 / 9)


def test_equal_differences_in_all_folds_are_not_certain():
    """One of 10 samples more is right in each of three folds: s^2 is 0, and yet 3 to 0 is no evidence."""
    found = folds_difference([0.1, 0.1, 0.1], DifferingSamples.of_answers(30, 3, 0), 3, 3)
    assert found.p_value == pytest.approx(binomtest(3, 3).pvalue) == 0.25
    assert found.low <= 0 < found.mean < found.high
    assert accuracy_verdicts([found])[0].word == "inconclusive"


@pytest.mark.parametrize(("n_samples", "word"), [(298, "inconclusive"), (299, "tie")])
def test_equal_predictions_are_a_tie_from_299_samples_on(n_samples, word):
    found = folds_difference([0.0] * 5, DifferingSamples.of_answers(n_samples, 0, 0), 5, 5)
    assert accuracy_verdicts([found])[0].word == word


def test_opposite_answers_that_cancel_out_in_every_fold_are_no_tie_of_few_samples():
    found = folds_difference([0.0] * 5, DifferingSamples.of_answers(300, 20, 20), 5, 5)
    assert accuracy_verdicts([found])[0].word == "inconclusive"


def test_small_differences_of_many_samples_are_a_tie():
    found = folds_difference([0.001, -0.001, 0.0005, 0.0, -0.0005], DifferingSamples.of_answers(10_000, 50, 50), 5, 5)
    assert accuracy_verdicts([found])[0].word == "tie"


def test_the_runs_needed_are_whole_repeats_and_give_a_verdict_on_the_same_differences():
    values = [0.02, 0.06, 0.08, 0.09, 0.15]
    found = _repeated(values, 1)
    verdict = accuracy_verdicts([found])[0]
    assert verdict.word == "inconclusive"
    assert verdict.n_needed % 5 == 0
    n_repeats = verdict.n_needed // 5
    assert accuracy_verdicts([_repeated(values, n_repeats)])[0].word == "higher"
    assert accuracy_verdicts([_repeated(values, n_repeats - 1)])[0].word == "inconclusive"


def test_no_number_of_repeats_replaces_samples():
    found = _repeated([0.02, -0.05, 0.05, -0.03, 0.03], 2, DifferingSamples.of_answers(150, 10, 8))
    assert accuracy_verdicts([found])[0].n_needed is None


def test_one_fold_is_no_test():
    found = folds_difference([0.1], DifferingSamples.of_answers(30, 3, 0), 5, 1)
    assert (found.low, found.high, found.p_value, found.detectable(0.95)) == (None, None, None, None)
    assert accuracy_verdicts([found])[0].word == "inconclusive"
