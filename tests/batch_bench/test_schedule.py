"""The order of measurements and the conditions for stopping, with engines that have fixed times."""

from __future__ import annotations

import itertools
from dataclasses import replace
from statistics import median

import pytest

from mlcli.batch_bench import DEFAULT_SIZES
from mlcli.batch_bench.records import PHASES, BenchEngine, BenchSettings, MeasurementResult
from mlcli.batch_bench.schedule import Schedule, ScheduledEngine, fitting_sizes, is_worth_doubling
from mlcli.batch_bench.statistics import least_disturbed
from mlcli.errors import UsageError

SETTINGS = BenchSettings(
    backends=("fake",),
    threads=(1,),
    phases=PHASES,
    sizes=None,
    min_seconds=0.25,
    max_seconds=2.0,
    repeats=None,
    precision="float32",
    compiled=False,
    include_transfer=False,
)


class FakeEngine:
    """An engine with fixed times.

    seconds: time of a batch by batch size and sample number. probe: time of the speed probe by sample number. Sizes in
    `too_large` run out of memory."""

    def __init__(self, seconds, too_large=(), probe=lambda number: 1e-4):
        self.seconds = seconds
        self.too_large = too_large
        self.probe = probe
        self.requests = []
        self.numbers = itertools.count()

    def measure(self, request):
        self.requests.append(request)
        if request.batch_size in self.too_large:
            return MeasurementResult(out_of_memory="no more memory")
        samples, probes = [], []
        while not samples or (
            sum(samples) < request.seconds and (request.max_samples is None or len(samples) < request.max_samples)
        ):
            number = next(self.numbers)
            probes.append(self.probe(number))
            samples.append(self.seconds(request.batch_size, number))
        n_requests = len(self.requests)
        return MeasurementResult(
            tuple(samples), tuple(probes), first_call_seconds=9.0 * n_requests, loss=2.3, peak_memory_bytes=n_requests
        )

    def matrix_products(self):
        return {512: 0.01}


class SilentProgress:
    def on_stage(self, text):
        pass

    def on_measurement(self, text, n_done, n_measurements):
        pass


@pytest.mark.parametrize(
    ("sizes", "is_default", "fitting"),
    [((150,), False, (150,)), (DEFAULT_SIZES, True, (1, 10, 100, 300, 600, 1000)), ((1, 2), True, (1, 2))],
)
def test_default_sizes_that_the_data_cannot_fill_are_dropped(sizes, is_default, fitting):
    assert fitting_sizes(sizes, 1437 if sizes is DEFAULT_SIZES else 150, is_default=is_default) == fitting


def test_other_sizes_that_the_data_cannot_fill_are_refused():
    with pytest.raises(UsageError, match="batch size 300 exceeds the 150 samples"):
        fitting_sizes((100, 200, 300), 150, is_default=False)


@pytest.mark.parametrize(
    ("throughputs", "continues"),
    [
        ([1.0], True),
        ([1.0, 1.0, 1.0], True),
        ([1.0, 2.0, 4.0, 8.0], True),
        ([10.0, 10.1, 10.2, 10.3], False),
        ([10.0, 9.0, 9.0, 10.6], True),  # a dip may be noise: the best of the last three counts
        ([10.0, 9.0, 10.6, 9.9], True),
        ([10.0, 8.0, 7.0, 6.0], False),
    ],
)
def test_doubling_stops_when_three_steps_gain_less_than_five_percent(throughputs, continues):
    assert is_worth_doubling(throughputs) is continues


def steady(size, number):
    return 0.02 + size * 1e-5


def run(*fakes, sizes=(1, 10, 100), phases=PHASES, n_samples=1000, **settings):
    """Return the engines after the schedule."""
    engines = [
        ScheduledEngine(fake, BenchEngine("fake", number, "cpu", n_samples, 1e-9, "spin"), phases)
        for number, fake in enumerate(fakes)
    ]
    Schedule(engines, replace(SETTINGS, **settings), SilentProgress()).run(sizes)
    return engines


def undisturbed(series, fastest=1e-4):
    return least_disturbed(series.samples, series.probes, fastest)


def test_the_first_round_takes_sizes_in_ascending_order_and_every_engine_at_each():
    first, second = FakeEngine(steady), FakeEngine(steady)
    run(first, second)
    expected = [(size, phase) for size in (1, 10, 100) for phase in PHASES]
    for engine in (first, second):
        assert [(request.batch_size, request.phase) for request in engine.requests[:6]] == expected


def test_later_rounds_take_every_size_once_in_changing_orders():
    engine = FakeEngine(lambda size, number: 0.02 * (1 + number % 2))  # never precise
    sizes = (1, 2, 4, 8, 16, 32)
    run(engine, sizes=sizes, phases=("forward",))
    met = [request.batch_size for request in engine.requests]
    rounds = [tuple(met[start : start + 6]) for start in range(0, len(met), 6)]
    assert len(rounds) >= 12
    assert all(sorted(one) == list(sizes) for one in rounds)
    assert len(set(rounds)) > 4


def test_a_steady_series_is_done_after_six_rounds():
    engine = FakeEngine(steady)
    (scheduled,) = run(engine)
    assert len(engine.requests) == 6 * len(scheduled.series)
    assert all(one.n_rounds == 6 for one in scheduled.series)


def test_a_series_that_varies_is_sampled_until_its_time_is_up():
    (scheduled,) = run(FakeEngine(lambda size, number: 0.01 * (1 + number % 2)), sizes=(1,), phases=("train",))
    # The first call of 9 s does not count.
    assert scheduled.series[0].sampled_seconds == pytest.approx(2.0, abs=0.2)


def test_slow_batches_get_the_samples_that_an_interval_needs_within_four_times_the_maximum():
    (scheduled,) = run(
        FakeEngine(lambda size, number: 1.0 + number % 2), sizes=(1,), max_seconds=4.0, phases=("train",)
    )
    assert len(scheduled.series[0].samples) == 6
    (scheduled,) = run(
        FakeEngine(lambda size, number: 5.0 + number % 2), sizes=(1,), max_seconds=4.0, phases=("train",)
    )
    assert sum(scheduled.series[0].samples) == 16.0  # four times the maximum, after three samples


def test_repeats_are_exact_and_spread_over_rounds():
    engine = FakeEngine(steady)
    (scheduled,) = run(engine, repeats=11)
    assert {len(one.samples) for one in scheduled.series} == {11}
    assert {one.n_rounds for one in scheduled.series} == {6}


def test_first_call_loss_and_memory_are_those_of_the_first_round():
    (scheduled,) = run(FakeEngine(steady), sizes=(1,), phases=("train",))
    (one,) = scheduled.series
    assert (one.first_call_seconds, one.loss, one.peak_memory_bytes) == (9.0, 2.3, 1)


def test_a_size_that_runs_out_of_memory_is_a_series_and_the_others_continue():
    engine = FakeEngine(steady, too_large=(10,))
    (scheduled,) = run(engine)
    by_size = {one.batch_size: one for one in scheduled.series if one.phase == "train"}
    assert (by_size[10].status, by_size[10].reason) == ("out of memory", "no more memory")
    assert not by_size[10].samples
    assert len(by_size[1].samples) > 6
    assert len(by_size[100].samples) > 6
    assert sum(request.batch_size == 10 for request in engine.requests) == 2  # once per phase


def test_matrices_are_multiplied_in_every_round():
    engine = FakeEngine(steady)
    (scheduled,) = run(engine)
    assert scheduled.engine.matrix_products == {512: [0.01] * 6}


def test_auto_doubles_as_far_as_the_data_goes():
    (scheduled,) = run(FakeEngine(lambda size, number: 0.02), sizes=None, phases=("forward",), n_samples=1000)
    assert [one.batch_size for one in scheduled.series] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_auto_stops_when_nothing_gets_faster_any_more():
    (scheduled,) = run(FakeEngine(lambda size, number: 0.02 * max(1, size / 16)), sizes=None, n_samples=10**6)
    assert max(one.batch_size for one in scheduled.series) == 128  # three doublings past 16


def test_auto_stops_when_memory_runs_out():
    engine = FakeEngine(lambda size, number: 0.02, too_large=(64,))
    (scheduled,) = run(engine, sizes=None, n_samples=1000)
    assert max(one.batch_size for one in scheduled.series) == 64


def test_disturbed_samples_do_not_count_towards_a_known_median():
    """Nine of ten samples are disturbed: alone, the undisturbed ones would be enough after six rounds."""

    def slowness(number):
        return 2 if number % 10 else 1

    engine = FakeEngine(lambda size, number: 0.02 * slowness(number), probe=lambda number: 1e-4 * slowness(number))
    ((series,),) = [one.series for one in run(engine, sizes=(1,), phases=("train",))]
    assert series.n_rounds > 6
    assert set(undisturbed(series)) == {0.02}


def test_the_maximum_time_holds_for_a_disturbed_machine():
    """The machine is undisturbed in the first round and then never again."""
    engine = FakeEngine(lambda size, number: 0.02)
    engine.probe = lambda number: 1e-4 if len(engine.requests) <= 6 and number % 4 == 0 else 2e-4
    (scheduled,) = run(engine)
    for series in scheduled.series:
        assert series.sampled_seconds == pytest.approx(SETTINGS.max_seconds, rel=0.1)
        assert len(undisturbed(series)) >= 6


class SharedMachine:
    """A simulated machine whose clock is the measured time. It runs slower during spells, especially small batches."""

    def __init__(self, is_spell):
        self.is_spell = is_spell
        self.now = 0.0

    def measure(self, request):
        samples, probes = [], []
        end = self.now + request.seconds
        while not samples or self.now < end:
            is_disturbed = self.is_spell(self.now)
            # Some samples take longer without a spell.
            variation = 1.02 if len(samples) % 3 == 0 else 1.0
            fixed, each = (1.5e-3, 8e-6) if is_disturbed else (0.5e-3, 5.5e-6)
            samples.append(variation * (fixed + each * request.batch_size))
            probes.append(4e-5 if is_disturbed else 2.7e-5 * variation)
            self.now += max(samples[-1], 0.002)
        return MeasurementResult(tuple(samples), tuple(probes))

    def matrix_products(self):
        return {}


def test_runs_with_different_spells_have_the_same_medians():
    """Background load slows a third of one run and most of the other, in spells of some seconds."""
    machines = SharedMachine(lambda now: now % 9 > 6), SharedMachine(lambda now: now % 7 > 1.5)
    engines = [run(machine, sizes=DEFAULT_SIZES[:-1], phases=("train",))[0] for machine in machines]
    selected = [
        [median(undisturbed(one, each.engine.fastest_probe_seconds)) for one in each.series] for each in engines
    ]
    everything = [[median(one.samples) for one in each.series] for each in engines]
    assert [a / b for a, b in zip(*selected, strict=True)] == pytest.approx([1.0] * 7, abs=0.03)
    assert max(b / a for a, b in zip(*everything, strict=True)) > 1.3
