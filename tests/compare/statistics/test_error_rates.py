"""Simulated comparisons: the verdicts are wrong in at most 5 % of cases, and find what they state that they would find.

Each rate may exceed its limit by three standard errors of the simulation. MLCLI_SOAK_REPEATS=N simulates the whole grid
N times per cell instead of a few cells.
"""

from __future__ import annotations

import math
import os
from itertools import combinations, product

import numpy as np
import pytest

from mlcli.compare.statistics import ALPHA
from mlcli.compare.statistics.accuracy import accuracy_difference
from mlcli.compare.statistics.baseline import worse_p
from mlcli.compare.statistics.verdicts import accuracy_verdicts, holm

SOAK_REPEATS = int(os.environ.get("MLCLI_SOAK_REPEATS", "0"))
N_REPEATS = SOAK_REPEATS or 150

# Number of variants, seeds and samples; strengths of the effects of samples on single variants and of seeds; whether
# every second variant has a third of the latter. A strength of 0.1 changes the accuracy by 0.6 percentage points
# (standard deviation).
FEW_CELLS = [
    (2, 2, 10_000, 1.0, 0.3, True),
    (4, 2, 359, 3.0, 0.3, False),
    (4, 2, 10_000, 3.0, 0.3, False),
    (4, 3, 359, 1.0, 0.3, True),
    (2, 3, 10_000, 1.0, 0.1, False),
    (2, 3, 150, 1.0, 0.3, False),
    (2, 5, 150, 3.0, 0.1, False),
    (2, 5, 359, 0.0, 0.3, True),
    (2, 10, 359, 3.0, 0.02, False),
]
WHOLE_GRID = list(
    product((2, 4), (2, 3, 5, 10), (150, 359, 10_000), (0.0, 0.3, 1.0, 3.0), (0.02, 0.1, 0.3), (False, True))
)


def _limit(rate, n_repeats):
    return rate + 3 * math.sqrt(rate * (1 - rate) / n_repeats)


def _words(runs):
    pairs = combinations(runs, 2)
    return [verdict.word for verdict in accuracy_verdicts([accuracy_difference(b, a) for a, b in pairs])]


@pytest.mark.parametrize("cell", WHOLE_GRID if SOAK_REPEATS else FEW_CELLS, ids=str)
def test_equally_accurate_variants_are_rarely_called_different_in_any_pair(simulate, cell):
    n_variants, n_seeds, n_samples, own, strength, is_unequal = cell
    luck = [strength / 3 if is_unequal and number % 2 else strength for number in range(n_variants)]
    n_repeats = max(N_REPEATS // (4 if SOAK_REPEATS and n_samples > 1_000 else 1), 1)
    rng = np.random.default_rng(1)
    n_wrong = 0
    for _ in range(n_repeats):
        runs = simulate(rng, n_seeds, n_samples, (0.9,) * n_variants, own=own, luck=luck)
        n_wrong += min(holm([accuracy_difference(b, a).p_value for a, b in combinations(runs, 2)])) < ALPHA
    assert n_wrong / n_repeats <= _limit(0.05, n_repeats)


@pytest.mark.parametrize("n_samples", [150, 300, 400, 600, 1_000, 10_000])
def test_a_true_difference_at_the_margin_is_rarely_called_a_tie(n_samples):
    """One variant is always right, the other one wrong on one sample in a hundred, with every seed."""
    rng = np.random.default_rng(2)
    n_tied, n_repeats = 0, 10_000
    for n_wrong, n_times in zip(*np.unique(rng.binomial(n_samples, 0.01, n_repeats), return_counts=True), strict=True):
        worse = np.ones((3, n_samples), dtype=bool)
        worse[:, :n_wrong] = False
        n_tied += n_times * (_words([np.ones_like(worse), worse]) == ["tie"])
    assert n_tied / n_repeats <= _limit(0.05, n_repeats)


@pytest.mark.parametrize(("n_seeds", "n_samples", "luck"), [(3, 2_000, 0.02), (3, 10_000, 0.06), (5, 10_000, 0.02)])
def test_variants_that_differ_by_the_margin_on_average_over_seeds_are_rarely_called_a_tie(
    simulate, n_seeds, n_samples, luck
):
    rng = np.random.default_rng(3)
    ties = [
        _words(simulate(rng, n_seeds, n_samples, (0.91, 0.9), own=0.3, luck=luck)) == ["tie"] for _ in range(N_REPEATS)
    ]
    assert np.mean(ties) <= _limit(0.05, N_REPEATS)


@pytest.mark.parametrize(("luck", "power"), [(0.02, 0.99), (0.035, 0.92), (0.05, 0.78), (0.065, 0.63)])
def test_one_percentage_point_is_found_with_five_seeds(simulate, luck, power):
    """The accuracies of single seeds vary by 0.24, 0.31, 0.40 and 0.49 percentage points (standard deviation)."""
    rng = np.random.default_rng(4)
    n_repeats = max(N_REPEATS // 2, 60)
    words = [_words(simulate(rng, 5, 10_000, (0.88, 0.89), luck=luck)) for _ in range(n_repeats)]
    error = math.sqrt(power * (1 - power) / n_repeats)
    assert words.count(["higher"]) / n_repeats >= power - 3 * error


@pytest.mark.parametrize(
    ("n_seeds", "n_samples", "own", "luck"), [(3, 359, 1.0, 0.02), (3, 2_000, 0.3, 0.2), (5, 2_000, 1.0, 0.1)]
)
def test_the_stated_difference_is_found_in_four_of_five_cases(simulate, n_seeds, n_samples, own, luck):
    rng = np.random.default_rng(5)

    def verdicts(higher, n_repeats):
        runs = (simulate(rng, n_seeds, n_samples, (0.8, higher), own=own, luck=luck) for _ in range(n_repeats))
        return [accuracy_verdicts([accuracy_difference(b, a)])[0] for a, b in runs]

    stated = np.mean([verdict.detectable_difference**2 for verdict in verdicts(0.8, 100)]) ** 0.5
    found = np.mean([verdict.word == "higher" for verdict in verdicts(0.8 + stated, N_REPEATS)])
    assert 0.7 <= found <= 0.95


# Numbers of new and of baseline runs.
RUNS = [(1, 3), (2, 1), (3, 1), (5, 1), (3, 2), (3, 3), (5, 3)]


@pytest.mark.parametrize("luck", [0.02, 0.06, 0.2])
@pytest.mark.parametrize("n_runs", RUNS)
def test_new_runs_of_the_same_configuration_are_rarely_called_worse(simulate, n_runs, luck):
    rng = np.random.default_rng(6)
    n_wrong = sum(
        worse_p(*simulate(rng, n_runs, 2_000, (0.9, 0.9), own=0, luck=luck)) < ALPHA for _ in range(N_REPEATS)
    )
    assert n_wrong / N_REPEATS <= _limit(0.05, N_REPEATS)


@pytest.mark.parametrize("lucks", [(0.02, 0.1), (0.1, 0.02)])
def test_with_three_baseline_runs_the_seeds_of_both_sides_may_vary_differently(simulate, lucks):
    rng = np.random.default_rng(7)
    n_wrong = sum(worse_p(*simulate(rng, (5, 3), 2_000, (0.9, 0.9), luck=lucks)) < ALPHA for _ in range(N_REPEATS))
    assert n_wrong / N_REPEATS <= _limit(0.05, N_REPEATS)


def test_two_equally_accurate_models_are_rarely_called_worse():
    """The question that one new run and one baseline run can answer: both models err on 8 % of all possible samples."""
    rng = np.random.default_rng(8)
    models = [rng.random((2, 1, 1_000)) < 0.92 for _ in range(max(N_REPEATS, 1_000))]
    assert np.mean([worse_p(*pair) < ALPHA for pair in models]) <= _limit(0.05, len(models))


@pytest.mark.parametrize(("n_runs", "least"), [((3, 3), 0.9), ((5, 1), 0.7), ((1, 3), 0.5)])
def test_three_percentage_points_less_are_called_worse(simulate, n_runs, least):
    rng = np.random.default_rng(9)
    n_found = sum(worse_p(*simulate(rng, n_runs, 2_000, (0.87, 0.9))) < ALPHA for _ in range(100))
    assert n_found / 100 >= least
