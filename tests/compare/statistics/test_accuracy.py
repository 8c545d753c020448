"""The accuracy verdict has the promised error rates on simulated runs, and agrees with cases calculated by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlcli.compare.statistics.accuracy import accuracy_difference, mcnemar_p
from mlcli.compare.statistics.intervals import critical_t
from mlcli.compare.statistics.verdicts import accuracy_verdicts

N_REPEATS = 200


def test_the_interval_covers_the_true_difference_at_least_95_times_in_100(simulate):
    rng = np.random.default_rng(5)
    differences = [accuracy_difference(*simulate(rng, 4, 1_000, (0.9, 0.85))) for _ in range(N_REPEATS)]
    n_covered = sum(difference.low <= 0.05 <= difference.high for difference in differences)
    assert n_covered / N_REPEATS >= 0.95


def test_the_variance_is_that_of_two_crossed_factors():
    """The variance equals the explicit sums of squares."""
    rng = np.random.default_rng(6)
    first, second = rng.random((4, 50)) < 0.8, rng.random((4, 50)) < 0.7
    difference = accuracy_difference(first, second)
    d = first.astype(float) - second
    rows, columns, mean = d.mean(1), d.mean(0), d.mean()
    of_seeds = 50 * sum((row - mean) ** 2 for row in rows) / 3
    of_samples = 4 * sum((column - mean) ** 2 for column in columns) / 49
    rest = sum((d[s, i] - rows[s] - columns[i] + mean) ** 2 for s in range(4) for i in range(50)) / (3 * 49)
    variance = (max(of_seeds, rest) + max(of_samples - rest, 0)) / 200
    assert difference.seed_variance / 4 + difference.sample_variance == pytest.approx(variance)


@pytest.mark.parametrize(
    ("n_samples", "word"), [(30, "inconclusive"), (298, "inconclusive"), (299, "tie"), (1_000, "tie")]
)
def test_runs_that_agree_on_every_sample_are_a_tie_only_if_the_samples_are_many(n_samples, word):
    """At a true difference of one percentage point, 350 samples show no difference in 3 % of cases, 30 in 74 %."""
    correct = np.random.default_rng(7).random((3, n_samples)) < 0.9
    difference = accuracy_difference(correct, correct)
    assert accuracy_verdicts([difference])[0].word == word
    assert difference.high == -difference.low == pytest.approx(1.96**2 / (n_samples + 1.96**2), rel=1e-3)  # Wilson's


def test_the_interval_excludes_0_exactly_if_the_p_value_is_below_a_twentieth_and_contains_the_mean():
    rng = np.random.default_rng(10)
    n_significant = 0
    for _ in range(400):
        n_seeds, n_samples = rng.integers(3, 7), rng.integers(20, 400)
        shared, accuracies = rng.random(n_samples), rng.choice([0.6, 0.8, 0.9, 0.99, 1.0], 2)
        runs = [shared + 0.1 * rng.standard_normal((n_seeds, n_samples)) < accuracy for accuracy in accuracies]
        found = accuracy_difference(*runs)
        assert -1 <= found.low <= found.mean <= found.high <= 1
        assert (found.p_value < 0.05) == (found.low > 0 or found.high < 0)
        n_significant += found.p_value < 0.05
    assert 50 < n_significant < 350


def test_the_interval_of_two_sources_is_banerjees():
    """Seeds have n_seeds - 1 degrees of freedom, samples n_differing - 1."""
    difference = accuracy_difference(*(np.random.default_rng(11).random((3, 60)) < p for p in (0.95, 0.2)))
    width = math.sqrt(
        critical_t(2) ** 2 * difference.seed_variance / 3
        + critical_t(difference.n_differing - 1) ** 2 * difference.sample_variance
    )
    assert difference.low == pytest.approx(difference.mean - width)


def test_four_samples_of_thirty_are_inconclusive():
    """A solver without randomness gives the same answers with every seed; McNemar's exact p for 4 to 0 is 0.125."""
    reference = np.ones((5, 30), dtype=bool)
    worse = reference.copy()
    worse[:, :4] = False
    verdict = accuracy_verdicts([accuracy_difference(worse, reference)])[0]
    assert verdict.word == "inconclusive"
    assert verdict.corrected_p > 0.1
    assert verdict.n_needed is None  # more seeds would give the same answers


def test_ten_samples_of_thirty_are_a_difference():
    reference = np.ones((5, 30), dtype=bool)
    worse = reference.copy()
    worse[:, :10] = False
    assert accuracy_verdicts([accuracy_difference(worse, reference)])[0].word == "lower"


def test_the_number_of_seeds_needed_gives_a_verdict_on_the_same_measurements():
    """Seeds vary by half a percentage point around a difference of 0.3, so that two seeds are inconclusive."""
    rng = np.random.default_rng(8)
    reference = rng.random((2, 4_000)) < 0.9
    better = reference.copy()
    for row, n in zip(better, (4, 40), strict=True):
        row[np.flatnonzero(~row)[:n]] = True
    difference = accuracy_difference(better, reference)
    verdict = accuracy_verdicts([difference])[0]
    assert verdict.word == "inconclusive"
    n = verdict.n_needed
    assert n is not None
    assert n > 2
    again = accuracy_difference(*(np.concatenate([runs] * math.ceil(n / 2)) for runs in (better, reference)))
    assert accuracy_verdicts([again])[0].word != "inconclusive"


def test_more_seeds_do_not_make_up_for_samples():
    """One of 359 samples differs, with one of three seeds: no number of seeds makes this a difference or a tie."""
    reference = np.ones((3, 359), dtype=bool)
    worse = reference.copy()
    worse[0, 0] = False
    verdict = accuracy_verdicts([accuracy_difference(worse, reference)])[0]
    assert (verdict.word, verdict.n_needed) == ("inconclusive", None)


def test_one_seed_is_inconclusive():
    correct = np.random.default_rng(9).random((1, 1_000)) < 0.9
    verdict = accuracy_verdicts([accuracy_difference(correct, ~correct)])[0]
    assert (verdict.word, verdict.corrected_p) == ("inconclusive", None)


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (4, 0), (10, 3), (200, 260), (3, 3)])
def test_mcnemar_is_the_exact_binomial_test(only_first, only_second):
    from scipy.stats import binomtest

    n = only_first + only_second
    first = np.array([True] * only_first + [False] * only_second + [True] * 5)
    second = np.array([False] * only_first + [True] * only_second + [True] * 5)
    expected = binomtest(only_first, n).pvalue if n else 1.0
    assert mcnemar_p(first, second) == pytest.approx(expected, rel=1e-9)


def test_a_difference_among_two_variants_is_inconclusive_among_twenty_pairs():
    reference = np.ones((5, 100), dtype=bool)
    worse = reference.copy()
    worse[:, :7] = False
    difference = accuracy_difference(worse, reference)
    assert 0.01 < difference.p_value < 0.05
    assert accuracy_verdicts([difference])[0].word == "lower"
    assert accuracy_verdicts([difference] * 20)[0].word == "inconclusive"
