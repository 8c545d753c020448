"""Simulated comparisons over folds of two learners that are equally good on average, trained on data drawn anew.

Both learners are of one kind, and each sees one half of the features, which are alike: neither is better on average
over samples. Each rate may exceed its limit by three standard errors of the simulation. MLCLI_SOAK_REPEATS=N simulates
the whole grid N times per cell instead of a few cells.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from itertools import product
from statistics import fmean, variance

import numpy as np
import pytest

from mlcli.compare.statistics import ALPHA
from mlcli.compare.statistics.folds import DifferingSamples, folds_difference
from mlcli.compare.statistics.intervals import two_sided_p
from mlcli.compare.statistics.scores import n_bounding_samples
from mlcli.compare.statistics.verdicts import accuracy_verdicts
from mlcli.data.group_splits import dealt_groups
from mlcli.data.splits import stratified_fold
from mlcli.metrics.influence import influences
from mlcli.metrics.scores import full_score
from mlcli.records import Scores
from mlcli.registry import METRICS

SOAK_REPEATS = int(os.environ.get("MLCLI_SOAK_REPEATS", "0"))
N_REPEATS = SOAK_REPEATS or 100


def nearest_mean(x, y, test):
    """Return the logit of each test sample, as all learners do: linear discriminant analysis of unit variance."""
    low, high = x[y == 0].mean(axis=0), x[y == 1].mean(axis=0)
    return (test - (low + high) / 2) @ (high - low) + math.log(y.mean() / (1 - y.mean()))


def nearest_neighbour(x, y, test):
    distances = np.square(x).sum(axis=1) - 2 * test @ x.T
    return np.where(y[distances.argmin(axis=1)] == 1, 3.0, -3.0)


def logistic(x, y, test):
    """Logistic regression with a small penalty, by eight steps of Newton's method."""
    x, test = (np.column_stack([part, np.ones(len(part))]) for part in (x, test))
    weights = np.zeros(x.shape[1])
    for _ in range(8):
        p = 1 / (1 + np.exp(-(x @ weights)))
        hessian = (x * (p * (1 - p))[:, None]).T @ x + np.eye(len(weights))
        weights -= np.linalg.solve(hessian, x.T @ (p - y) + weights)
    return test @ weights


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
        first, second = ((learner(x[rest], y[rest], x[test]) > 0) == y[test] for x in halves)
        differences.append(first.mean() - second.mean())
        n_higher += np.count_nonzero(first & ~second)
        n_lower += np.count_nonzero(second & ~first)
    return differences, DifferingSamples.of_answers(n, n_higher / n_repeats, n_lower / n_repeats)


def _verdict(rng, *cell, **options):
    differences, samples = _compare(rng, *cell, **options)
    return accuracy_verdicts([folds_difference(differences, samples, cell[4], len(differences))])[0]


def _compare_metrics(rng, learner, n, fraction, n_folds, n_repeats):
    """Return the difference in each metric. fraction: of the samples that belong to the second class."""
    y = (np.arange(n) < fraction * n).astype(np.int64)
    halves = [rng.normal(size=(n, 5)) + 0.3 * np.where(y == 1, 1.0, -1.0)[:, None] for _ in range(2)]
    differences, values = ({name: [] for name in METRICS} for _ in range(2))
    for repeat, fold in product(range(n_repeats), range(n_folds)):
        rest, test = stratified_fold(y, n_folds, fold, seed=repeat)
        sides = [_scored(learner(x[rest], y[rest], x[test]), y[test]) for x in halves]
        for name in METRICS:
            (first, of_first), (second, of_second) = ((value[name], of_samples[name]) for value, of_samples in sides)
            differences[name].append(first - second)
            values[name].append(first + of_first - second - of_second)
    return {
        name: folds_difference(
            differences[name],
            DifferingSamples.of_values(n, np.concatenate(values[name]), n_bounding_samples(name, np.bincount(y))),
            n_folds,
            len(differences[name]),
        )
        for name in METRICS
    }


def _scored(logits, y):
    """Return each metric, and the influences of the samples on it."""
    p = 1 / (1 + np.exp(-logits))
    scores = Scores((logits > 0).astype(np.int64), np.column_stack([0 * p, logits]), np.column_stack([1 - p, p]))
    found = full_score(scores, y)
    return {name: getattr(found, name) for name in METRICS}, {name: influences(name, scores, y) for name in METRICS}


def _compare_groups(rng, learner, n_groups, size, effect, n_folds, n_repeats):
    """Return the difference in accuracy with groups that have their own means and, mostly, one class."""
    groups = np.repeat(np.arange(n_groups), size)
    y = np.where(rng.random(len(groups)) < 0.9, rng.permutation(n_groups)[groups] % 2, rng.integers(0, 2, len(groups)))
    signs = np.where(y == 1, 1.0, -1.0)[:, None]
    halves = [
        rng.normal(size=(len(y), 5)) + effect * rng.normal(size=(n_groups, 5))[groups] + 0.3 * signs for _ in range(2)
    ]
    differences = []
    for repeat in range(n_repeats):
        parts = dealt_groups(y, groups, np.full(n_folds, 1 / n_folds), np.random.default_rng(repeat))
        for fold in range(n_folds):
            test = parts == fold
            first, second = (((learner(x[~test], y[~test], x[test]) > 0) == y[test]).mean() for x in halves)
            differences.append(first - second)
    samples = replace(DifferingSamples.of_answers(len(y), 0, 0), are_dependent=True)
    return folds_difference(differences, samples, n_folds, len(differences))


def _limit(rate, n_repeats):
    return rate + 3 * math.sqrt(rate * (1 - rate) / n_repeats)


def _name(value):
    return value.__name__ if callable(value) else str(value)


def _cell_name(cell):
    return " ".join(map(_name, cell))


@pytest.mark.parametrize("cell", WHOLE_GRID if SOAK_REPEATS else FEW_CELLS, ids=_cell_name)
def test_equally_good_learners_are_rarely_called_different(cell):
    _, n, *_, n_folds, n_repeats = cell
    n_comparisons = max(N_REPEATS // (1 + n * n_folds * n_repeats // 50_000), 1) if SOAK_REPEATS else N_REPEATS
    rng = np.random.default_rng(1)
    n_wrong = sum(_verdict(rng, *cell).word in ("higher", "lower") for _ in range(n_comparisons))
    assert n_wrong / n_comparisons <= _limit(0.05, n_comparisons)


METRIC_CELLS = list(product((logistic, nearest_mean), (100, 300, 1_000), (0.1, 0.2, 0.5), (3, 5, 10), (1, 2)))


@pytest.mark.parametrize("cell", METRIC_CELLS if SOAK_REPEATS else [(logistic, 100, 0.2, 5, 1)], ids=_cell_name)
def test_equally_good_learners_are_rarely_called_different_in_any_metric(cell):
    n_comparisons = max(SOAK_REPEATS // (1 + cell[1] * cell[3] * cell[4] // 5_000), 40)
    rng = np.random.default_rng(5)
    n_wrong = dict.fromkeys(METRICS, 0)
    for _ in range(n_comparisons):
        for metric, found in _compare_metrics(rng, *cell).items():
            n_wrong[metric] += found.p_value < ALPHA
    assert {name: n for name, n in n_wrong.items() if n / n_comparisons > _limit(0.05, n_comparisons)} == {}


GROUP_CELLS = list(product((nearest_neighbour, nearest_mean), (10, 20, 40), (10, 30), (0.5, 1.5), (3, 5, 10), (1, 2)))


@pytest.mark.parametrize(
    "cell", GROUP_CELLS if SOAK_REPEATS else [(nearest_neighbour, 20, 10, 0.5, 5, 2)], ids=_cell_name
)
def test_equally_good_learners_are_rarely_called_different_on_groups(cell):
    rng = np.random.default_rng(6)
    n_wrong = sum(_compare_groups(rng, *cell).p_value < ALPHA for _ in range(N_REPEATS))
    assert n_wrong / N_REPEATS <= _limit(0.05, N_REPEATS)


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
