"""Quantiles against numpy's, and the interval of the median against the binomial distribution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from mlcli.batch_bench.statistics import interquartile_range, is_median_within, median, median_interval, quantile


@pytest.mark.parametrize("n", [1, 2, 5, 10, 101])
def test_quantiles_are_numpys(n):
    values = np.random.default_rng(n).lognormal(size=n).tolist()
    for share in (0.0, 0.25, 0.5, 0.95, 1.0):
        assert quantile(values, share) == pytest.approx(np.quantile(values, share))
    assert median(values) == pytest.approx(np.median(values))
    assert interquartile_range(values) == pytest.approx(np.subtract(*np.quantile(values, [0.75, 0.25])))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [6, 9, 10, 20, 57, 1500])
def test_the_interval_is_the_narrowest_pair_of_ranks_that_keeps_the_confidence(n, confidence):
    interval = median_interval(range(1, n + 1), confidence)
    if interval is None:
        assert 1 - 2 * binom.cdf(0, n, 0.5) < confidence
        return
    low, high = interval
    assert high == n + 1 - low
    assert 1 - 2 * binom.cdf(low - 1, n, 0.5) >= confidence
    assert 1 - 2 * binom.cdf(low, n, 0.5) < confidence


def test_five_values_have_no_95_percent_interval():
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_interval([6, 1, 5, 2, 4, 3]) == (1, 6)


def test_a_median_is_within_a_tolerance_when_both_ends_are():
    assert is_median_within([1.0] * 6, 0.02)
    assert not is_median_within([1.0] * 5, 0.02)
    assert is_median_within([0.99, 0.99, 1.0, 1.0, 1.01, 1.01], 0.02)
    assert not is_median_within([0.9, 0.99, 1.0, 1.0, 1.01, 1.01], 0.02)
    assert not is_median_within([0.99, 0.99, 1.0, 1.0, 1.01, 1.1], 0.02)
