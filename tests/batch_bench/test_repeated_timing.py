"""Repeated timing, with work whose times are written down beforehand."""

from __future__ import annotations

import itertools

import pytest

from mlcli.batch_bench.repeated_timing import RepeatedTiming, clock_resolution_seconds


class Work:
    """Blocks whose single calls take the given seconds, the last one repeated; each block costs `fixed` more."""

    def __init__(self, *seconds, fixed=0.0):
        self.seconds = itertools.chain(seconds, itertools.repeat(seconds[-1]))
        self.fixed = fixed
        self.blocks = []

    def __call__(self, n_calls):
        self.blocks.append(n_calls)
        return self.fixed + sum(itertools.islice(self.seconds, n_calls))


class NumberedProbe:
    """Numbers the samples."""

    def __init__(self):
        self.numbers = itertools.count(1)

    def begin(self):
        pass

    def end(self):
        return float(next(self.numbers))


def warmed(work, block_seconds=0.01, max_seconds=1.0):
    timing = RepeatedTiming(work, block_seconds, NumberedProbe())
    timing.warm_up(max_seconds)
    return timing


def test_short_work_is_repeated_until_a_sample_outlasts_the_block():
    timing = warmed(Work(0.0001))
    timing.sample(0.1)
    assert 100 <= timing.calls_per_sample <= 200
    assert timing.samples == pytest.approx([0.0001] * len(timing.samples))
    assert sum(timing.samples) * timing.calls_per_sample == pytest.approx(0.1, rel=0.2)


def test_the_fixed_cost_of_a_block_is_spread_over_its_calls():
    timing = warmed(Work(0.0001, fixed=0.001), block_seconds=0.1)
    timing.sample(0.1)
    assert timing.samples[0] == pytest.approx(0.0001, rel=0.02)


def test_the_first_call_is_reported_separately_and_in_no_sample():
    timing = warmed(Work(5.0, 0.02))
    timing.sample(0.1)
    assert timing.first_call_seconds == 5.0
    assert set(timing.samples) == {0.02}


def test_the_warm_up_lasts_until_three_times_agree():
    work = Work(1.0, 0.5, 0.2, 0.1, 0.02, 0.0201, 0.0202, 0.0203)
    timing = warmed(work, max_seconds=100.0)
    timing.sample(0.0)
    assert timing.warmup_calls == 6
    assert timing.samples == [0.0203]


def test_the_warm_up_ends_for_work_that_never_settles():
    work = Work(*(seconds for _ in range(500) for seconds in (0.02, 0.05)))
    assert warmed(work, max_seconds=1.0).warmup_total_seconds == pytest.approx(1.0, abs=0.06)


def test_work_longer_than_the_warm_up_is_measured_from_the_second_call_on():
    work = Work(3.0, 2.0)
    timing = warmed(work, max_seconds=0.1)
    assert (work.blocks, timing.samples, timing.warmup_calls) == ([1, 1], [2.0], 0)


def test_samples_are_taken_up_to_a_time_or_a_number_and_at_least_one():
    timing = warmed(Work(0.02))
    n_before = len(timing.samples)
    timing.sample(1.0, max_samples=3)
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


def test_every_sample_has_its_probe():
    timing = RepeatedTiming(Work(0.0001), 0.01, NumberedProbe())
    timing.warm_up(1.0)
    timing.sample(0.05)
    timing.rewarm(0.005)
    timing.sample(0.05)
    assert timing.probes == [float(n + 1) for n in range(len(timing.samples))]


def test_a_second_call_that_is_a_sample_has_its_probe():
    timing = RepeatedTiming(Work(3.0, 2.0), 0.01, NumberedProbe())
    timing.warm_up(0.1)
    assert (timing.samples, timing.probes) == ([2.0], [1.0])


def test_the_clock_resolution_is_its_smallest_step():
    ticks = itertools.count()
    assert clock_resolution_seconds(lambda: next(ticks) // 3 * 0.015) == pytest.approx(0.015)
