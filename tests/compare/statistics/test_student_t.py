from __future__ import annotations

import pytest
from scipy import stats

from mlcli.compare.statistics.intervals import critical_t, two_sided_p

DEGREES = [1, 2, 3.7, 10, 250, 1e5, 1e8]


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("t", [0.0, 0.3, -2.3, 12.0])
def test_the_p_value_is_scipys(t, degrees):
    assert two_sided_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), rel=1e-7, abs=1e-12)


@pytest.mark.parametrize("degrees", DEGREES)
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9983])
def test_the_critical_value_is_scipys(confidence, degrees):
    assert critical_t(degrees, confidence) == pytest.approx(stats.t.ppf((1 + confidence) / 2, degrees), rel=1e-6)


def test_certainty():
    assert two_sided_p(float("inf"), 3) == 0
