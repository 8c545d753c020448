"""Simulated comparisons over folds of two learners that are equally good on average, trained on data drawn anew.

Both learners are of one kind, and each sees one half of the features, which are alike: neither is better on average
over samples. Each rate may exceed its limit by three standard errors of the simulation. MLCLI_SOAK_REPEATS=N simulates
the whole grid N times per cell instead of a few cells.
"""

from __future__ import annotations

import math
import os
from itertools import product
from statistics import fmean, variance

import numpy as np
import pytest

from mlcli.compare.statistics import ALPHA
from mlcli.compare.statistics.folds import DifferingSamples, folds_difference
from mlcli.compare.statistics.intervals import two_sided_p
from mlcli.compare.statistics.verdicts import accuracy_verdicts
from mlcli.data.splits import stratified_fold

SOAK_REPEATS = int(os.environ.get("MLCLI_SOAK_REPEATS", "0"))
N_REPEATS = SOAK_REPEATS or 100


def nearest_mean(x, y, test):
    low, high = x[y == 0].mean(axis=0), x[y == 1].mean(axis=0)
    return (test - (low + high) / 2) @ (high - low) > 0


def nearest_neighbour(x, y, test):
    distances = np.square(x).sum(axis=1) - 2 * test @ x.T
    return y[distances.argmin(axis=1)] == 1


def logistic(x, y, test):
    """Logistic regression with a small penalty, by eight steps of Newton's method."""
    x, test = (np.column_stack([part, np.ones(len(part))]) for part in (x, test))
    weights = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-(x @ weights)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.eye(len(weights))
        weights -= np.linalg.solve(hessian, x.T @ (p - y) + weights)
    return test @ weights > 0


# Learner, number of samples, features of each learner, distance of the classes, folds, repeats.
FEW_CELLS = [
    (nearest_mean, 100, 2, 0.15, 5, 2),
    (nearest_mean, 300, 5, 0.3, 3, 1),
    (nearest_mean, 1_000, 5, 0.3, 5, 1),
    (nearest_neighbour, 100, 5, 0.3, 5, 2),
    (nearest_neighbour, 100, 5, 0.3, 10, 1),
    (logistic, 300, 5, 0.3, 5, 1),
]
WHOLE_GRID = list(
    product(
        (nearest_mean, nearest_neighbour, logistic),
        (100, 300, 1_000, 2_000),
        (2, 20),
        (0.15, 0.5),
        (3, 5, 10),
        (1, 2, 10),
    )
)


def _compare(rng, learner, n, n_features, distance, n_folds, n_repeats, advantage=0.0):
    """Return the differences of two learners over folds, and on how many samples they differ.

    advantage: additional distance of the classes for the first learner.
    """
    y = rng.integers(0, 2, n)
    signs = np.where(y == 1, 1.0, -1.0)[:, None]
    halves = [rng.normal(size=(n, n_features)) + shift * signs for shift in (distance + advantage, distance)]
    differences, n_higher, n_lower = [], 0, 0
    for repeat, fold in product(range(n_repeats), range(n_folds)):
        rest, test = stratified_fold(y, n_folds, fold, seed=repeat)
        first, second = (learner(x[rest], y[rest], x[test]) == y[test] for x in halves)
        differences.append(first.mean() - second.mean())
        n_higher += np.count_nonzero(first & ~second)
        n_lower += np.count_nonzero(second & ~first)
    return differences, DifferingSamples.of_answers(n, n_higher / n_repeats, n_lower / n_repeats)


def _verdict(rng, *cell, **options):
    differences, samples = _compare(rng, *cell, **options)
    return accuracy_verdicts([folds_difference(differences, samples, cell[4], len(differences))])[0]


def _limit(rate, n_repeats):
    return rate + 3 * math.sqrt(rate * (1 - rate) / n_repeats)


def _name(value):
    return value.__name__ if callable(value) else str(value)


@pytest.mark.parametrize("cell", WHOLE_GRID if SOAK_REPEATS else FEW_CELLS, ids=lambda cell: " ".join(map(_name, cell)))
def test_equally_good_learners_are_rarely_called_different(cell):
    _, n, *_, n_folds, n_repeats = cell
    n_comparisons = max(N_REPEATS // (1 + n * n_folds * n_repeats // 50_000), 1) if SOAK_REPEATS else N_REPEATS
    rng = np.random.default_rng(1)
    n_wrong = sum(_verdict(rng, *cell).word in ("higher", "lower") for _ in range(n_comparisons))
    assert n_wrong / n_comparisons <= _limit(0.05, n_comparisons)


def test_the_t_test_of_independent_values_would_call_them_different_in_more_than_ten_per_cent():
    def p_value(differences):
        n = len(differences)
        return two_sided_p(fmean(differences) / math.sqrt(variance(differences) / n), n - 1)

    rng = np.random.default_rng(2)
    found = [_compare(rng, nearest_neighbour, 100, 5, 0.3, 5, 2)[0] for _ in range(N_REPEATS)]
    assert np.mean([p_value(differences) < ALPHA for differences in found]) > 0.1


def test_the_stated_difference_is_found_in_four_of_five_cases():
    cell = (nearest_mean, 600, 5, 0.3, 5, 2)
    rng = np.random.default_rng(3)
    stated = np.mean([_verdict(rng, *cell).detectable_difference ** 2 for _ in range(30)]) ** 0.5
    advantage = _advantage_for(stated)
    n_found = sum(_verdict(rng, *cell, advantage=advantage).word == "higher" for _ in range(N_REPEATS))
    assert n_found / N_REPEATS >= 0.7


def _advantage_for(difference):
    """Return the additional distance that raises the accuracy of five features at distance 0.3 by a difference."""
    rng = np.random.default_rng(4)
    candidates = np.linspace(0.02, 0.3, 8)
    means = [np.mean(_compare(rng, nearest_mean, 600, 5, 0.3, 5, 8, advantage=value)[0]) for value in candidates]
    return float(np.interp(difference, np.maximum.accumulate(means), candidates))
