from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlcli.compare.statistics.intervals import critical_t, mean_interval, smallest_sufficient, two_sided_p
from mlcli.compare.statistics.verdicts import holm


def test_the_interval_is_students():
    values = [0.91, 0.93, 0.92, 0.9]
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert (found.mean, found.low, found.high) == pytest.approx((0.915, low, high))


@pytest.mark.parametrize("values", [[0.5], [0.4, 0.6]])
def test_one_or_two_values_have_no_interval(values):
    found = mean_interval(values)
    assert (found.mean, found.low, found.high, found.n_runs) == (0.5, None, None, len(values))


def test_an_interval_stays_in_the_possible_range():
    found = mean_interval([0.99, 1.0, 0.9], highest=1.0)
    assert found.low > 0.8
    assert found.high == 1.0
    assert mean_interval([0.1, 0.01, 0.02]).low == 0.0


def test_holm_as_worked_by_hand():
    """0.01 * 4, then 0.03 * 3, then 0.03 * 2 lifted to the one before it, then 0.2."""
    assert holm([0.03, 0.2, 0.01, 0.03]) == pytest.approx([0.09, 0.2, 0.04, 0.09])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize("least", [6, 7, 8, 100, 9_999])
def test_the_smallest_sufficient_number(least):
    assert smallest_sufficient(lambda n: n >= least, more_than=5) == least


def test_no_number_is_sufficient():
    assert smallest_sufficient(lambda n: False, more_than=5) is None


@pytest.mark.parametrize(
    ("t", "degrees", "p_value"),
    [(0.0, 3, 1.0), (12.706204736432095, 1, 0.05), (-2.2281388519649385, 10, 0.05), (2.5758293035489, 1e12, 0.01)],
)
def test_the_p_value_of_t_is_that_of_published_tables(t, degrees, p_value):
    assert two_sided_p(t, degrees) == pytest.approx(p_value, rel=1e-9)


@pytest.mark.parametrize(
    ("degrees", "confidence", "t"),
    [(1, 0.95, 12.706204736432095), (10, 0.95, 2.2281388519649385), (30, 0.99, 2.7499956535670), (3.7, 0.5, None)],
)
def test_the_critical_value_is_that_of_published_tables(degrees, confidence, t):
    expected = stats.t.ppf((1 + confidence) / 2, degrees) if t is None else t
    assert critical_t(degrees, confidence) == pytest.approx(expected, rel=1e-9)


def test_infinite_t_is_certain_and_infinite_degrees_are_the_normal_distribution():
    assert two_sided_p(float("inf"), 3) == 0
    assert two_sided_p(1.959963984540054, float("inf")) == pytest.approx(0.05)
