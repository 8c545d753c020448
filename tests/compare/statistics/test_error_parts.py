"""The interval, p value and power of a mean with several sources of error."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mlcli.compare.statistics.error_parts import ErrorPart, detectable_distance, half_width, two_sided_p_value


@pytest.mark.parametrize("degrees", [1, 2, 4, 100, 10_000])
def test_one_part_is_students_t(degrees):
    part = ErrorPart(0.04, degrees)
    assert half_width([part], 0.05) == pytest.approx(0.2 * stats.t.ppf(0.975, degrees))
    assert two_sided_p_value(-0.7, [part]) == pytest.approx(2 * stats.t.sf(3.5, degrees))
    nonzero = stats.nct(degrees, detectable_distance([part], 0.05) / 0.2)
    assert nonzero.sf(stats.t.ppf(0.975, degrees)) == pytest.approx(0.8, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.05, 0.05 / 6, 1e-9])
def test_the_p_value_is_the_alpha_whose_interval_ends_at_0(alpha):
    parts = [ErrorPart(0.3, 2), ErrorPart(0.1, 57), ErrorPart(0.0, 1)]
    assert two_sided_p_value(half_width(parts, alpha), parts) == pytest.approx(alpha)


@pytest.mark.parametrize("degrees", [(1, 1), (1, 1_000), (2, 9), (4, 30)])
@pytest.mark.parametrize("ratio", [0.0, 0.1, 1, 10, 100])
def test_the_interval_misses_the_mean_in_at_most_alpha_of_cases(degrees, ratio):
    """Satterthwaite's degrees of freedom miss it in 12 % of cases at degrees 1 and 1,000 and a ratio of 1/10."""
    rng, n = np.random.default_rng(1), 4_000
    true = (1.0, ratio)
    means = rng.standard_normal(n) * math.sqrt(sum(true))
    variances = np.transpose([v * rng.chisquare(d, n) / d for v, d in zip(true, degrees, strict=True)])
    n_missed = sum(
        abs(mean) > half_width([ErrorPart(v, d) for v, d in zip(row, degrees, strict=True)], 0.05)
        for mean, row in zip(means, variances, strict=True)
    )
    assert n_missed / n <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_without_any_variance_only_a_mean_of_0_is_possible():
    assert two_sided_p_value(0.0, [ErrorPart(0.0, 2)]) == 1
    assert two_sided_p_value(0.1, [ErrorPart(0.0, 2)]) == 0
