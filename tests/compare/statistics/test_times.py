from __future__ import annotations

from itertools import combinations
from random import Random
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from mlcli.compare.matrix import running_order
from mlcli.compare.statistics.times import time_ratio
from mlcli.compare.statistics.verdicts import time_verdicts


def test_the_interval_is_that_of_the_paired_t_test_on_logarithms():
    seconds, reference = [2.1, 2.4, 1.9, 2.2], [1.0, 1.3, 0.9, 1.2]
    found = time_ratio(seconds, reference)
    test = stats.ttest_rel(np.log(seconds), np.log(reference))
    interval = test.confidence_interval()
    assert found.p_value == pytest.approx(test.pvalue)
    assert (found.low, found.high) == pytest.approx((np.exp(interval.low), np.exp(interval.high)))


def test_a_machine_that_slows_down_for_both_variants_hides_no_difference():
    """Some rounds take up to ten times as long, and one variant takes a tenth longer in each round."""
    drift = np.array([1.0, 2.0, 5.0, 10.0])
    ratio = time_ratio((1.1 * drift * [1.001, 0.999, 1.0, 1.002]).tolist(), drift.tolist())
    assert time_verdicts([ratio])[0].word == "higher"


def test_times_that_vary_as_much_as_they_differ_are_inconclusive_with_the_number_of_rounds_needed():
    first, second = [1.0, 1.3, 0.9], [1.1, 1.05, 1.12]
    verdict = time_verdicts([time_ratio(first, second)])[0]
    assert verdict.word == "inconclusive"
    n = verdict.n_needed
    assert n is not None
    assert n > 3
    repeats = -(-n // 3)
    assert time_verdicts([time_ratio(first * repeats, second * repeats)])[0].word != "inconclusive"


def test_times_within_five_per_cent_are_a_tie():
    verdict = time_verdicts([time_ratio([1.0, 1.01, 0.99, 1.0], [1.01, 1.0, 1.0, 0.99])])[0]
    assert verdict.word == "tie"


@pytest.mark.parametrize("n_rounds", [1, 2])
def test_one_or_two_rounds_are_inconclusive_and_have_no_interval(n_rounds):
    ratio = time_ratio([1.0, 1.001][:n_rounds], [9.0, 9.0][:n_rounds])
    verdict = time_verdicts([ratio])[0]
    assert (ratio.low, ratio.high, verdict.word, verdict.corrected_p) == (None, None, "inconclusive", None)


def test_equal_times_do_not_differ():
    assert time_verdicts([time_ratio([2.0, 3.0, 4.0], [2.0, 3.0, 4.0])])[0].word == "tie"


def test_a_difference_among_two_variants_is_inconclusive_among_twenty_pairs():
    ratio = time_ratio([1.2, 1.3, 1.1, 1.25], [1.0, 1.0, 1.05, 1.0])
    assert 0.01 < ratio.p_value < 0.05
    assert time_verdicts([ratio])[0].word == "higher"
    assert time_verdicts([ratio] * 20)[0].word == "inconclusive"


# What disturbs the logarithm of the time of the k-th cell, besides noise of the given standard deviation.
DISTURBANCES = {
    "noise": (0.02, lambda rng, k: 0 * k),
    "1 % slower from cell to cell": (0.005, lambda rng, k: 0.01 * k),
    "5 % faster from cell to cell": (0.01, lambda rng, k: -0.05 * k),
    "spikes of half the time": (0.01, lambda rng, k: np.log(1.5) * (rng.random(len(k)) < 0.05)),
    "a random walk": (0.005, lambda rng, k: rng.normal(0, 0.02, len(k)).cumsum()),
    "a cold start": (0.01, lambda rng, k: 0.3 * np.exp(-k / 3)),
}
REPEATS = 300


@pytest.mark.parametrize("disturbance", DISTURBANCES)
@pytest.mark.parametrize("n_variants", [2, 4])
def test_equal_variants_differ_in_at_most_five_per_cent_of_comparisons_whatever_disturbs_the_machine(
    n_variants, disturbance
):
    rng = np.random.default_rng(n_variants)
    n_false = sum(_is_false_difference(rng, n_variants, rng.choice([3, 5, 8]), disturbance) for _ in range(REPEATS))
    error = (0.05 * 0.95 / REPEATS) ** 0.5
    assert n_false / REPEATS <= 0.05 + 3 * error


def _is_false_difference(rng, n_variants, n_rounds, disturbance):
    cells = [SimpleNamespace(draw=seed) for seed in range(n_rounds) for _ in range(n_variants)]
    deviation, disturb = DISTURBANCES[disturbance]
    position = np.arange(len(cells))
    seconds = np.empty(len(cells))
    order = running_order(cells, Random(int(rng.integers(2**32))))
    seconds[order] = np.exp(rng.normal(0, deviation, len(cells)) + disturb(rng, position))
    by_variant = seconds.reshape(n_rounds, n_variants).T.tolist()
    ratios = [time_ratio(first, second) for first, second in combinations(by_variant, 2)]
    return any(verdict.word in ("higher", "lower") for verdict in time_verdicts(ratios))
