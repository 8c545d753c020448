"""Differences in any metric: simulated comparisons of probabilistic classifiers, whose verdicts are rarely wrong.

Each rate may exceed its limit by three standard errors of the simulation. MLCLI_SOAK_REPEATS=N simulates the whole grid
N / 4 times per cell instead of a few cells.
"""

from __future__ import annotations

import math
import os
from itertools import product

import numpy as np
import pytest

from mlcli.compare.statistics import ALPHA
from mlcli.compare.statistics.accuracy import accuracy_difference
from mlcli.compare.statistics.baseline import worse_p
from mlcli.compare.statistics.scores import effective_number, score_difference
from mlcli.compare.statistics.verdicts import score_verdicts
from mlcli.metrics.influence import influences
from mlcli.metrics.scores import full_score
from mlcli.records import Scores
from mlcli.registry import METRICS

SOAK_REPEATS = int(os.environ.get("MLCLI_SOAK_REPEATS", "0"))
N_REPEATS = max(SOAK_REPEATS // 4, 1) if SOAK_REPEATS else 60

# Samples of each class; number of seeds; strengths of what is hard for one variant and of the luck of a seed, and how
# sharp the probabilities are.
FEW_CELLS = [
    ((150, 150), 3, 1.0, 0.3, 1.5),
    ((290, 10), 3, 1.0, 0.3, 1.5),
    ((270, 30), 5, 0.5, 0.1, 1.0),
    ((100, 60, 30, 10), 3, 0.5, 0.05, 4.0),
]
WHOLE_GRID = [
    (sizes, n_seeds, *effects)
    for sizes, n_seeds, effects in product(
        [(150, 150), (270, 30), (290, 10), (950, 50), (200, 150, 100, 35, 15), (30,) * 10],
        (2, 3, 5, 10),
        [(0.5, 0.1, 1.0), (0.2, 0.02, 3.0), (1.0, 0.3, 1.5), (0.5, 0.05, 4.0)],
    )
]


def limit(rate, n_repeats):
    return rate + 3 * math.sqrt(rate * (1 - rate) / n_repeats)


def simulated(rng, y, n_variants, n_seeds, *, own, luck, sharp, signals=(2.0, 2.0)):
    """Return the scores of every variant with every seed. signals: how well each variant tells the classes apart."""
    n_classes = int(y.max()) + 1
    shape, truth = (len(y), n_classes), y[:, None] == np.arange(n_classes)
    shared = rng.standard_normal(shape)
    for number in range(n_variants):
        of_variant = shared + own * rng.standard_normal(shape)
        runs = []
        for _ in range(n_seeds):
            signal, bias = signals[number] + luck * rng.standard_normal(), luck * rng.standard_normal(n_classes)
            logits = truth * signal + of_variant + bias + 0.5 * rng.standard_normal(shape)
            logits *= sharp * math.exp(luck * rng.standard_normal())
            exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
            runs.append(Scores(logits.argmax(axis=1), logits, exponentials / exponentials.sum(axis=1, keepdims=True)))
        yield runs


def pseudo_values(metric, runs, y, metrics=None):
    """Return those of all runs. metrics: of the runs, if they are known."""
    known = metrics or [full_score(scores, y) for scores in runs]
    return np.stack(
        [getattr(found, metric) + influences(metric, scores, y) for found, scores in zip(known, runs, strict=True)]
    )


def difference(metric, variants, y):
    return score_difference(metric, *(pseudo_values(metric, runs, y) for runs in variants), np.bincount(y))


@pytest.mark.parametrize("cell", WHOLE_GRID if SOAK_REPEATS else FEW_CELLS, ids=str)
def test_equally_good_variants_are_rarely_called_different_in_any_metric(cell):
    sizes, n_seeds, own, luck, sharp = cell
    y = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(1)
    n_wrong = dict.fromkeys(METRICS, 0)
    for _ in range(N_REPEATS):
        variants = list(simulated(rng, y, 2, n_seeds, own=own, luck=luck, sharp=sharp))
        known = [[full_score(scores, y) for scores in runs] for runs in variants]
        for metric in METRICS:
            sides = [pseudo_values(metric, *found) for found in zip(variants, (y, y), known, strict=True)]
            n_wrong[metric] += score_difference(metric, *sides, np.bincount(y)).p_value < ALPHA
    assert {metric: n for metric, n in n_wrong.items() if n / N_REPEATS > limit(0.05, N_REPEATS)} == {}


@pytest.mark.parametrize("metric", ["roc_auc", "loss"])
@pytest.mark.parametrize("n_runs", [(1, 1), (3, 1), (3, 3)])
def test_equally_good_runs_are_rarely_called_worse_than_a_baseline_in_any_metric(metric, n_runs):
    y = np.repeat([0, 1], (120, 40))
    rng = np.random.default_rng(2)
    n_wrong = 0
    for _ in range(N_REPEATS):
        own = 0.5 if n_runs == (1, 1) else 0.0  # single models differ by their luck too
        new, old = simulated(rng, y, 2, max(n_runs), own=own, luck=0.0 if n_runs == (1, 1) else 0.1, sharp=1.0)
        sides = [pseudo_values(metric, runs[:n], y) for runs, n in zip((new, old), n_runs, strict=True)]
        n_wrong += worse_p(*(side * METRICS[metric].sign for side in sides)) < ALPHA
    assert n_wrong / N_REPEATS <= limit(0.05, N_REPEATS)


@pytest.mark.parametrize("metric", METRICS)
def test_a_large_difference_is_found_in_its_direction(metric):
    y = np.repeat([0, 1], (250, 50))
    variants = list(simulated(np.random.default_rng(3), y, 2, 3, own=0.3, luck=0.03, sharp=1.0, signals=(3.0, 1.0)))
    found = difference(metric, variants, y)
    means = [np.mean([getattr(full_score(scores, y), metric) for scores in runs]) for runs in variants]
    assert found.mean == pytest.approx(means[0] - means[1])
    assert found.low <= found.mean <= found.high
    assert score_verdicts([found])[0].word == ("lower" if METRICS[metric].is_lower_better else "higher")


def test_the_smallest_class_limits_what_can_be_called_a_tie():
    """Variants that agree on every sample differ in at most 3 / 20 of the samples of a class with 20."""
    scores = list(simulated(np.random.default_rng(4), np.repeat([0, 1], (980, 20)), 1, 3, own=0, luck=0, sharp=1.0))
    for sizes, word in (((980, 20), "inconclusive"), ((500, 500), "tie")):
        y = np.repeat([0, 1], sizes)
        same = [scores[0], scores[0]]
        assert score_verdicts([difference("balanced_accuracy", same, y)])[0].word == word
    assert score_verdicts([difference("loss", same, y)])[0].word == "tie"


def test_the_margin_of_losses_is_relative_to_the_reference():
    y = np.repeat([0, 1], (150, 150))
    variants = list(simulated(np.random.default_rng(5), y, 2, 3, own=0.3, luck=0.03, sharp=1.0))
    mean = np.mean([full_score(scores, y).loss for scores in variants[1]])
    assert difference("loss", variants, y).margin == pytest.approx(0.05 * mean)
    assert difference("roc_auc", variants, y).margin == 0.01


def test_accuracy_as_pseudo_values_has_the_variances_of_right_and_wrong():
    y = np.repeat([0, 1], (150, 150))
    variants = list(simulated(np.random.default_rng(6), y, 2, 4, own=0.5, luck=0.1, sharp=1.0))
    found = difference("accuracy", variants, y)
    expected = accuracy_difference(*(np.stack([scores.labels == y for scores in runs]) for runs in variants))
    for name in ("mean", "seed_variance", "sample_variance"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name))


def test_few_samples_that_decide_have_a_small_effective_number():
    assert effective_number(np.zeros(5)) == 0
    assert effective_number(np.array([1.0, -1.0, 1.0, 0.0, 0.0])) == 3
    assert effective_number(np.array([100.0, 1.0, 1.0, 1.0])) == 1
