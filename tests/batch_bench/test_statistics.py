"""The interval of a median compared with the binomial distribution, and the selection of undisturbed samples."""

from __future__ import annotations

import pytest
from scipy.stats import binom

from mlcli.batch_bench.statistics import disturbed_marks, fastest_probe, half_width, least_disturbed, median_interval


@pytest.mark.parametrize("n", [6, 9, 10, 20, 57, 1500])
def test_the_interval_is_the_narrowest_pair_of_ranks_that_keeps_95_percent(n):
    low, high = median_interval(range(1, n + 1))
    assert high == n + 1 - low
    assert 1 - 2 * binom.cdf(low - 1, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(low, n, 0.5) < 0.95


def test_five_values_have_no_95_percent_interval():
    assert median_interval([]) is None
    assert median_interval([1, 2, 3, 4, 5]) is None
    assert median_interval([6, 1, 5, 2, 4, 3]) == (1, 6)


@pytest.mark.parametrize(
    ("values", "width"),
    [
        ([1.0] * 6, 0.0),
        ([1.0] * 5, None),
        ([0.99, 0.99, 1.0, 1.0, 1.01, 1.01], 0.01),
        ([0.9, 0.99, 1.0, 1.0, 1.01, 1.01], 0.1),
        ([0.99, 0.99, 1.0, 1.0, 1.01, 1.1], 0.1),
    ],
)
def test_the_half_width_of_an_interval_is_that_of_its_wider_side(values, width):
    assert half_width(values) == pytest.approx(width)


def test_a_sample_is_disturbed_if_its_probe_took_ten_percent_longer_than_the_fastest():
    assert disturbed_marks([1.0, 1.09, 1.11, 2.0, 0.5], 1.0) == [False, False, True, True, False]


def test_samples_are_chosen_by_their_probes_and_not_by_their_own_times():
    samples = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0]
    probes = [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    assert least_disturbed(samples, probes, 1.0) == [9.0, 8.0, 7.0, 3.0, 6.0, 4.0]


def test_if_few_samples_are_undisturbed_those_with_the_fastest_probes_count():
    samples, probes = [float(n) for n in range(20)], [1.0] * 2 + [1.2] * 4 + [1.5] * 14
    assert least_disturbed(samples, probes, 1.0) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert least_disturbed([1.0, 2.0], [3.0, 4.0], 1.0) == [1.0, 2.0]


def test_one_lucky_probe_does_not_make_all_others_disturbed():
    assert fastest_probe([0.5, *[1.0] * 300, *[2.0] * 300]) == pytest.approx(1.0)


def test_a_machine_that_is_seldom_undisturbed_still_shows_its_best_speed():
    assert fastest_probe([*[1.0] * 10, *[1.5] * 300]) == pytest.approx(1.0)
    assert fastest_probe([]) == 0.0
