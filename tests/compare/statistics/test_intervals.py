from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlcli.compare.statistics.intervals import mean_interval, smallest_enough
from mlcli.compare.statistics.verdicts import holm


def test_the_interval_is_students():
    values = [0.91, 0.93, 0.92, 0.9]
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((0.915, low, high))


def test_one_value_has_no_interval():
    found = mean_interval([0.5])
    assert (found.mean, found.low, found.high, found.n) == (0.5, None, None, 1)


def test_holm_as_worked_by_hand():
    """0.01 * 4, then 0.03 * 3, then 0.03 * 2 lifted to what stands before it, then 0.2."""
    assert holm([0.03, 0.2, 0.01, 0.03]) == pytest.approx([0.09, 0.2, 0.04, 0.09])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("least", [6, 7, 8, 100, 9_999])
def test_the_smallest_number_that_is_enough(least):
    assert smallest_enough(lambda n: n >= least, more_than=5) == least


def test_no_number_is_enough():
    assert smallest_enough(lambda n: False, more_than=5) is None
