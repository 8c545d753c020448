"""Repeated timing, with work whose times are written down beforehand."""

from __future__ import annotations

import itertools

import pytest

from mlcli.timing import RepeatedTiming, clock_resolution_seconds, timed_calls


class Work:
    """Blocks whose single calls take the given seconds, the last of them for ever; each block costs `fixed` more."""

    def __init__(self, *seconds: float, fixed: float = 0.0) -> None:
        self.seconds = itertools.chain(seconds, itertools.repeat(seconds[-1]))
        self.fixed = fixed
        self.blocks: list[int] = []

    def __call__(self, n_calls: int) -> float:
        self.blocks.append(n_calls)
        return self.fixed + sum(itertools.islice(self.seconds, n_calls))


def warmed(work: Work, block_seconds: float = 0.01, most_seconds: float = 1.0) -> RepeatedTiming:
    timing = RepeatedTiming(work, block_seconds)
    timing.warm_up(most_seconds)
    return timing


def test_short_work_is_repeated_until_a_sample_outlasts_the_block():
    timing = warmed(Work(0.0001))
    timing.sample(0.1)
    assert 100 <= timing.calls_per_sample <= 200
    assert timing.samples == pytest.approx([0.0001] * len(timing.samples))
    assert sum(timing.samples) * timing.calls_per_sample == pytest.approx(0.1, rel=0.2)


def test_what_a_block_pays_once_is_spread_over_its_calls():
    timing = warmed(Work(0.0001, fixed=0.001), block_seconds=0.1)
    timing.sample(0.1)
    assert timing.samples[0] == pytest.approx(0.0001, rel=0.02)


def test_the_first_call_stands_apart_and_in_no_sample():
    timing = warmed(Work(5.0, 0.02))
    timing.sample(0.1)
    assert timing.first_call_seconds == 5.0
    assert set(timing.samples) == {0.02}


def test_the_warm_up_lasts_until_three_times_agree():
    work = Work(1.0, 0.5, 0.2, 0.1, 0.02, 0.0201, 0.0202, 0.0203)
    timing = warmed(work, most_seconds=100.0)
    timing.sample(0.0)
    assert timing.warmup_calls == 6
    assert timing.samples == [0.0203]


def test_the_warm_up_gives_up_on_work_that_never_settles():
    work = Work(*(seconds for _ in range(500) for seconds in (0.02, 0.05)))
    assert warmed(work, most_seconds=1.0).warmup_total_seconds == pytest.approx(1.0, abs=0.06)


def test_work_longer_than_the_warm_up_is_not_repeated_for_nothing():
    work = Work(3.0, 2.0)
    timing = warmed(work, most_seconds=0.1)
    assert (work.blocks, timing.samples, timing.warmup_calls) == ([1, 1], [2.0], 0)


def test_samples_are_taken_for_so_long_or_so_many_and_at_least_one():
    timing = warmed(Work(0.02))
    n_before = len(timing.samples)
    timing.sample(1.0, most_samples=3)
    assert len(timing.samples) == n_before + 3
    timing.sample(0.0)
    assert len(timing.samples) == n_before + 4


def test_after_other_work_short_work_is_repeated_and_long_work_is_not():
    short, long = Work(0.0001), Work(0.02)
    for work, n_more in ((short, 1), (long, 0)):
        timing = warmed(work)
        timing.sample(0.0)
        n_blocks = len(work.blocks)
        timing.rewarm(0.005)
        assert len(work.blocks) == n_blocks + n_more
    assert short.blocks[-1] == 50


class Witness:
    """Numbers the samples that it sees, and remembers what they took."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def begin(self) -> None:
        pass

    def end(self, seconds: float) -> float:
        self.seen.append(seconds)
        return float(len(self.seen))


def test_every_sample_has_the_reference_of_its_witness():
    witness = Witness()
    timing = RepeatedTiming(Work(0.0001), 0.01, witness)
    timing.warm_up(1.0)
    timing.sample(0.05)
    timing.rewarm(0.005)
    timing.sample(0.05)
    assert timing.references == [float(n + 1) for n in range(len(timing.samples))]
    assert witness.seen == pytest.approx([seconds * timing.calls_per_sample for seconds in timing.samples])


def test_a_second_call_that_is_a_sample_has_a_reference_too():
    timing = RepeatedTiming(Work(3.0, 2.0), 0.01, Witness())
    timing.warm_up(0.1)
    assert (timing.samples, timing.references) == ([2.0], [1.0])


def test_the_clock_resolution_is_its_smallest_step():
    ticks = itertools.count()
    assert clock_resolution_seconds(lambda: next(ticks) // 3 * 0.015) == pytest.approx(0.015)


@pytest.mark.parametrize(("seconds_a_call", "n_expected"), [(0.1, 6), (1.0, 3), (9.0, 2)])
def test_calls_are_timed_one_by_one_and_none_is_begun_when_the_time_is_up(monkeypatch, seconds_a_call, n_expected):
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
