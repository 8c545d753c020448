"""Repeated timing, the speed probe and the measurement of a whole engine, with simulated clocks."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from mlcli.batch_bench.measurement import MeasuredEngine, PreparedEngine, RepeatedTiming, SpeedProbe
from mlcli.batch_bench.records import MeasurementRequest
from mlcli.metrics.scores import log_loss
from mlcli.records import Scores, Split

N = 1000
BLOCK_SECONDS = {"forward": 0.002, "train": 0.01}


class OutOfMemoryError(RuntimeError):
    """A stand-in for the error of torch, which mlcli recognises by the name of its class."""


class FakeBench:
    """A bench with simulated times: 0.1 ms per sample forward, twice as much in training.

    Batches of a size in too_large raise an OutOfMemoryError.
    """

    def __init__(self, error=None, too_large=0):
        self.now = 0.0
        self.pace = 1.0  # of the machine: 2.0 is half as fast
        self.device = "cpu"
        self.block_seconds = BLOCK_SECONDS
        self.error, self.too_large = error, too_large
        self.starts = []
        self.learning_rates = set()
        self.n_released = 0

    def batches(self, starts, batch_size):
        assert max(starts) + batch_size <= N
        self.starts += starts
        self.now += 100.0  # cutting batches is not timed
        return [batch_size] * len(starts)

    def _compute(self, batches, seconds):
        if self.error is not None and batches[0] == self.too_large:
            raise self.error
        self.now += sum(batches) * seconds * self.pace

    def forward(self, batches):
        self._compute(batches, 1e-4)

    def train(self, batches, learning_rate):
        self.learning_rates.add(learning_rate)
        self._compute(batches, 2e-4)

    def matrix_product(self, n):
        def multiply():
            self.now += 1e-9 * n**2.5 * self.pace

        return multiply

    def start_memory_watch(self):
        pass

    def peak_memory_bytes(self):
        return 12345

    def release_memory(self):
        self.n_released += 1


LOGITS = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 3
DATASET = SimpleNamespace(train=Split(LOGITS, Y), fingerprint="abc")


class FakeEngine:
    """An engine that returns the samples as logits."""

    def predict(self, x, batch_size):
        return Scores(x.argmax(1), x, None)


def measured_engine(bench):
    return MeasuredEngine(PreparedEngine(FakeEngine(), bench, DATASET), clock=lambda: bench.now)


def measure(engine, batch_size, phase="forward", seconds=0.05):
    return engine.measure(MeasurementRequest(phase, batch_size, seconds, None, warmup_seconds=0.02))


def test_what_is_timed_is_the_engine_alone():
    for phase, seconds in (("forward", 1e-3), ("train", 2e-3)):
        found = measure(measured_engine(FakeBench()), 10, phase)
        assert found.samples == pytest.approx([seconds] * len(found.samples))
        assert found.first_call_seconds == pytest.approx(seconds)
        assert found.calls_per_sample * seconds >= BLOCK_SECONDS[phase]
        assert found.peak_memory_bytes == 12345


def test_batches_rotate_through_all_the_data():
    bench = FakeBench()
    engine = measured_engine(bench)
    for _ in range(3):
        measure(engine, 300, seconds=0.2)
    assert bench.starts[:7] == [0, 300, 600, 0, 300, 600, 0]
    assert all(after == (before + 300) % 900 for before, after in zip(bench.starts, bench.starts[1:], strict=False))


def test_training_leaves_the_weights_practically_unchanged():
    bench = FakeBench()
    measure(measured_engine(bench), 10, "train")
    assert all(0 < rate < 1e-8 for rate in bench.learning_rates)


def test_each_sample_has_a_probe_that_shows_the_speed_of_the_machine():
    bench = FakeBench()
    engine = measured_engine(bench)
    usual = measure(engine, 10)
    bench.pace = 1.5
    slow = measure(engine, 10)
    for found in (usual, slow):
        assert len(found.probes) == len(found.samples)
    assert len(set(np.round(usual.probes, 9))) == 1
    assert slow.probes == pytest.approx([1.5 * usual.probes[0]] * len(slow.samples))


def test_the_first_call_and_the_loss_are_reported_once():
    engine = measured_engine(FakeBench())
    first, second = measure(engine, 100), measure(engine, 100)
    assert first.loss == pytest.approx(log_loss(Scores(LOGITS[:100].argmax(1), LOGITS[:100], None), Y[:100]))
    assert (second.loss, second.first_call_seconds) == (None, None)
    assert second.warmup_seconds < first.warmup_seconds


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["numpy", "torch on a GPU", "torch on the CPU"],
)
def test_a_size_that_does_not_fit_is_reported_frees_the_memory_and_leaves_the_others_intact(error):
    bench = FakeBench(error, too_large=500)
    engine = measured_engine(bench)
    assert measure(engine, 10).out_of_memory is None
    failed = measure(engine, 500)
    assert "out of memory" in failed.out_of_memory
    assert str(error) in failed.out_of_memory
    assert failed.samples == ()
    assert bench.n_released == 1
    for size in (10, 100):
        found = measure(engine, size)
        assert found.samples == pytest.approx([size * 1e-4] * len(found.samples))


def test_other_errors_are_raised():
    with pytest.raises(RuntimeError, match="not a matter of memory"):
        measure(measured_engine(FakeBench(RuntimeError("not a matter of memory"), too_large=10)), 10)


def test_matrix_products_are_large_enough_to_show_the_peak():
    engine = measured_engine(FakeBench())
    # 1e-9 n^2.5 seconds: 6 ms, 34 ms; sizes grow until a product takes 20 ms.
    assert engine.matrix_products() == pytest.approx({512: 0.00593, 1024: 0.03355}, rel=0.01)
    assert engine.matrix_products().keys() == {512, 1024}


class Work:
    """Simulated work: calls take the given seconds (the last value repeats), and each block takes `fixed` more."""

    def __init__(self, *seconds, fixed=0.0):
        self.seconds = itertools.chain(seconds, itertools.repeat(seconds[-1]))
        self.fixed = fixed
        self.blocks = []

    def __call__(self, n_calls):
        self.blocks.append(n_calls)
        return self.fixed + sum(itertools.islice(self.seconds, n_calls))


class NumberedProbe:
    """A probe that returns the number of the sample."""

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


def test_work_longer_than_the_warm_up_is_measured_from_the_second_call():
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
    """A simulated machine whose clock advances by the next of the given seconds when the probe runs.

    The last value repeats.
    """

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
