"""Repeated timing and the speed probe, with work whose times are written down beforehand."""

from __future__ import annotations

import itertools

import pytest

from mlcli.batch_bench.sampling import RepeatedTiming, SpeedProbe


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
    assert work.blocks == [1] * 8  # the first call, six of warm-up, one sample
    assert timing.samples == [0.0203]


def test_the_warm_up_ends_for_work_that_never_settles():
    work = Work(*(seconds for _ in range(500) for seconds in (0.02, 0.05)))
    assert warmed(work, max_seconds=1.0).warmup_seconds == pytest.approx(1.0, abs=0.06)


def test_work_longer_than_the_warm_up_is_measured_from_the_second_call_on():
    work = Work(3.0, 2.0)
    timing = warmed(work, max_seconds=0.1)
    assert (work.blocks, timing.samples, timing.warmup_seconds) == ([1, 1], [2.0], 0.0)


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


class Machine:
    """Its clock advances when the probe runs, by the next of the given seconds, the last one repeated."""

    def __init__(self, *seconds):
        self.now, self.n_calls = 0.0, 0
        self._seconds = list(seconds)

    def work(self):
        self.now += self._seconds.pop(0) if len(self._seconds) > 1 else self._seconds[0]
        self.n_calls += 1


def started_probe(machine):
    probe = SpeedProbe(machine.work, lambda: machine.now)
    probe.begin()
    return probe


@pytest.mark.parametrize(
    ("before", "after"), [([1e-4] * 4, [2e-4] * 4), ([2e-4] * 4, [1e-4] * 4)], ids=["slow after", "slow before"]
)
def test_the_slower_side_of_a_sample_counts(before, after):
    assert started_probe(Machine(*before, *after)).end() == pytest.approx(2e-4)


def test_the_probe_after_a_sample_is_the_one_before_the_next():
    machine = Machine(*[1e-4] * 8, *[3e-4] * 4, 1e-4)
    probe = started_probe(machine)
    assert [probe.end() for _ in range(4)] == pytest.approx([1e-4, 3e-4, 3e-4, 1e-4])
    assert machine.n_calls == 4 * 5


def test_a_cold_cache_is_no_disturbance():
    assert started_probe(Machine(9e-4, 1e-4, 1e-4, 1e-4)).end() == pytest.approx(1e-4)


def test_a_slow_probe_is_not_repeated():
    machine = Machine(0.06)
    assert started_probe(machine).end() == pytest.approx(0.06)
    assert machine.n_calls == 2
