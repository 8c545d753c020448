"""The times of repeated calls, with work of known duration."""

from __future__ import annotations

import pytest

from mlcli.timing import timed_calls


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
