from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

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


def test_one_round_is_inconclusive():
    verdict = time_verdicts([time_ratio([1.0], [9.0])])[0]
    assert (verdict.word, verdict.corrected_p) == ("inconclusive", None)


def test_equal_times_do_not_differ():
    assert time_verdicts([time_ratio([2.0, 3.0, 4.0], [2.0, 3.0, 4.0])])[0].word == "tie"


def test_a_difference_among_two_variants_is_inconclusive_among_twenty_pairs():
    ratio = time_ratio([1.2, 1.3, 1.1, 1.25], [1.0, 1.0, 1.05, 1.0])
    assert 0.01 < ratio.p_value < 0.05
    assert time_verdicts([ratio])[0].word == "higher"
    assert time_verdicts([ratio] * 20)[0].word == "inconclusive"
