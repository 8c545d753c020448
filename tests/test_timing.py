"""The times of repeated calls, with work of known duration."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.timing import timed_calls, unevenness


@pytest.mark.parametrize(("seconds_a_call", "n_expected"), [(0.1, 6), (1.0, 3), (9.0, 2)])
def test_calls_are_timed_one_by_one_and_none_begins_when_the_time_is_up(monkeypatch, seconds_a_call, n_expected):
    now = [0.0]
    results = []

    def call():
        now[0] += seconds_a_call
        results.append(len(results))
        return results[-1]

    monkeypatch.setattr("mlcli.timing.time.perf_counter", lambda: now[0])
    first, seconds = timed_calls(call, n_calls=6, max_seconds=2.5)
    assert first == 0
    assert seconds == pytest.approx([seconds_a_call] * n_expected)


def test_epochs_that_background_load_slowed_down_are_uneven():
    assert unevenness([6, 55, 50, 18]) == "6 to 55 s, median 34 s"


@pytest.mark.parametrize("factor", [0.001, 1.0, 100.0])
def test_noise_of_a_few_percent_is_even(factor):
    seconds = np.random.default_rng(0).lognormal(0, 0.05, 200) * factor
    assert unevenness(seconds.tolist()) is None


def test_epochs_of_milliseconds_are_never_uneven():
    seconds = np.random.default_rng(0).lognormal(0, 1.0, 200) * 0.003
    assert seconds.max() > 20 * seconds.min()
    assert unevenness(seconds.tolist()) is None


@pytest.mark.parametrize("n_slow", [1, 5, 9])
def test_any_number_of_slow_epochs_among_ten_is_noticed(n_slow):
    assert unevenness([1.0] * (10 - n_slow) + [2.5] * n_slow) is not None


@pytest.mark.parametrize("seconds", [[], [5.0]])
def test_one_duration_cannot_be_judged(seconds):
    assert unevenness(seconds) is None
