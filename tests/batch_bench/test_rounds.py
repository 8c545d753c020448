"""Rounds over subjects that take written-down times: which figure is measured when, and when it is enough."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from mlcli.batch_bench.messages import Visit, Visited
from mlcli.batch_bench.records import PHASES, BenchSettings
from mlcli.batch_bench.rounds import Rounds
from mlcli.batch_bench.sizes import DEFAULT_SIZES
from mlcli.batch_bench.statistics import median

SETTINGS = BenchSettings(
    backends=("fake",), threads=(1,), phases=PHASES, sizes=None, min_seconds=0.25, max_seconds=2.0, repeats=None,
    precision="float32", compiled=False, include_transfer=False, tile=False,
)  # fmt: skip


class FakeSubject:
    """seconds: of a batch, by batch size and number of the sample. Sizes in `too_large` run out of memory. reference:
    by number of the sample."""

    def __init__(
        self, seconds: Callable[[int, int], float], too_large: tuple[int, ...] = (),
        reference: Callable[[int], float] = lambda number: 1e-4,
    ) -> None:  # fmt: skip
        self.seconds = seconds
        self.too_large = too_large
        self.reference = reference
        self.visits: list[Visit] = []
        self.n_products = 0
        self.numbers = itertools.count()

    def visit(self, visit: Visit) -> Visited:
        self.visits.append(visit)
        if visit.batch_size in self.too_large:
            return Visited(out_of_memory="no more memory")
        samples: list[float] = []
        references: list[float] = []
        while not samples or (
            sum(samples) < visit.seconds and (visit.most_samples is None or len(samples) < visit.most_samples)
        ):
            number = next(self.numbers)
            references.append(self.reference(number))
            samples.append(self.seconds(visit.batch_size, number))
        n_visits = len(self.visits)
        return Visited(
            tuple(samples), tuple(references), first_call_seconds=9.0 * n_visits, loss=2.3, peak_memory_bytes=n_visits
        )

    def products(self) -> dict[int, float]:
        self.n_products += 1
        return {512: 0.01}


class Silent:
    def on_stage(self, text: str) -> None:
        pass

    def on_visit(self, text: str, n_done: int, n_figures: int) -> None:
        pass


def steady(size: int, number: int) -> float:
    return 0.02 + size * 1e-5


def run(*subjects: FakeSubject, sizes=(1, 10, 100), phases=PHASES, n_samples=1000, **settings) -> Rounds:
    rounds = Rounds(
        subjects, [phases] * len(subjects), [f"s{i}" for i in range(len(subjects))], replace(SETTINGS, **settings),
        Silent(),
    )  # fmt: skip
    rounds.run(sizes, n_samples)
    return rounds


def test_the_first_round_meets_sizes_in_ascending_order_and_every_engine_at_each():
    first, second = FakeSubject(steady), FakeSubject(steady)
    run(first, second)
    expected = [(size, phase) for size in (1, 10, 100) for phase in PHASES]
    for subject in (first, second):
        assert [(visit.batch_size, visit.phase) for visit in subject.visits[:6]] == expected


def test_later_rounds_meet_every_size_once_and_in_changing_orders():
    subject = FakeSubject(lambda size, number: 0.02 * (1 + number % 2))  # never precise
    sizes = (1, 2, 4, 8, 16, 32)
    run(subject, sizes=sizes, phases=("forward",))
    met = [visit.batch_size for visit in subject.visits]
    rounds = [tuple(met[start : start + 6]) for start in range(0, len(met), 6)]
    assert len(rounds) >= 12
    assert all(sorted(one) == list(sizes) for one in rounds)
    assert len(set(rounds)) > 4


def test_a_steady_figure_is_done_after_six_visits():
    subject = FakeSubject(steady)
    rounds = run(subject)
    assert len(subject.visits) == 6 * len(rounds.cells)
    assert all(cell.n_visits == 6 for cell in rounds.cells)


def test_a_figure_that_spreads_is_sampled_until_its_time_is_up():
    rounds = run(FakeSubject(lambda size, number: 0.01 * (1 + number % 2)), sizes=(1,), phases=("train",))
    assert rounds.cells[0].sampled_seconds == pytest.approx(2.0, abs=0.2)  # and the first call of 9 s not counted


def test_long_calls_get_the_samples_that_an_interval_needs_but_not_for_ever():
    rounds = run(FakeSubject(lambda size, number: 1.0 + number % 2), sizes=(1,), max_seconds=4.0, phases=("train",))
    assert len(rounds.cells[0].samples) == 6
    rounds = run(FakeSubject(lambda size, number: 5.0 + number % 2), sizes=(1,), max_seconds=4.0, phases=("train",))
    assert sum(rounds.cells[0].samples) == 16.0  # four times the most, after three samples


def test_repeats_are_exact_and_spread_over_rounds():
    subject = FakeSubject(steady)
    rounds = run(subject, repeats=11)
    assert {len(cell.samples) for cell in rounds.cells} == {11}
    assert {cell.n_visits for cell in rounds.cells} == {6}


def test_first_call_loss_and_memory_are_those_of_the_first_visit():
    rounds = run(FakeSubject(steady), sizes=(1,), phases=("train",))
    (cell,) = rounds.cells
    assert (cell.first_call_seconds, cell.loss, cell.peak_memory_bytes) == (9.0, 2.3, 1)


def test_a_size_that_runs_out_of_memory_is_a_figure_and_the_others_go_on():
    subject = FakeSubject(steady, too_large=(10,))
    rounds = run(subject)
    by_size = {cell.batch_size: cell for cell in rounds.cells if cell.phase == "train"}
    assert by_size[10].out_of_memory == "no more memory"
    assert not by_size[10].samples
    assert len(by_size[1].samples) > 6
    assert len(by_size[100].samples) > 6
    assert sum(visit.batch_size == 10 for visit in subject.visits) == 2  # once a phase


def test_matrices_are_multiplied_in_every_round():
    subject = FakeSubject(steady)
    rounds = run(subject)
    assert rounds.products == [{512: [0.01] * 6}]


def test_auto_doubles_as_far_as_the_data_goes():
    rounds = run(FakeSubject(lambda size, number: 0.02), sizes=None, phases=("forward",), n_samples=1000)
    assert [cell.batch_size for cell in rounds.cells] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]


def test_auto_stops_when_nothing_gets_faster_any_more():
    rounds = run(FakeSubject(lambda size, number: 0.02 * max(1, size / 16)), sizes=None, n_samples=10**6)
    assert max(cell.batch_size for cell in rounds.cells) == 128  # three doublings past 16


def test_auto_with_tiling_stops_when_memory_does():
    subject = FakeSubject(lambda size, number: 0.02, too_large=(4096,))
    rounds = run(subject, sizes=None, n_samples=100, tile=True)
    assert max(cell.batch_size for cell in rounds.cells) == 4096


def test_a_disturbed_figure_is_visited_again_until_enough_samples_were_left_alone():
    def slowness(number: int) -> int:
        return 2 if number % 10 else 1

    subject = FakeSubject(
        lambda size, number: 0.02 * slowness(number), reference=lambda number: 1e-4 * slowness(number)
    )
    (cell,) = run(subject, sizes=(1,), phases=("train",)).cells
    assert cell.n_visits > 12  # as many as there would be without overtime
    assert set(cell.least_disturbed(1e-4)) == {0.02}


def test_disturbed_figures_do_not_take_for_ever():
    """The machine is left alone in the first round and then never again."""
    subject = FakeSubject(lambda size, number: 0.02)
    subject.reference = lambda number: 1e-4 if len(subject.visits) <= 6 and number % 4 == 0 else 2e-4
    rounds = run(subject)
    most = 1.15 * SETTINGS.max_seconds * len(rounds.cells)
    assert sum(cell.sampled_seconds for cell in rounds.cells) == pytest.approx(most, rel=0.1)
    assert all(len(cell.least_disturbed(1e-4)) >= 6 for cell in rounds.cells)


def test_the_time_that_others_do_not_need_goes_to_disturbed_figures():
    by_size = {1: 1e-4, 10: 1e-4, 100: 2e-4}
    subject = FakeSubject(steady)
    subject.reference = lambda number: by_size[subject.visits[-1].batch_size]
    rounds = run(subject, phases=("train",))
    assert [cell.n_visits for cell in rounds.cells[:2]] == [6, 6]
    assert rounds.cells[2].sampled_seconds > 2 * SETTINGS.max_seconds


class SharedMachine:
    """Its clock is what was measured; in spells it runs slower, more so where a batch is small."""

    def __init__(self, spells: Callable[[float], bool]) -> None:
        self.spells = spells
        self.now = 0.0

    def visit(self, visit: Visit) -> Visited:
        samples, references = [], []
        end = self.now + visit.seconds
        while not samples or self.now < end:
            is_disturbed = self.spells(self.now)
            # A sample that takes longer than others for reasons of its own, without a spell.
            own = 1.02 if len(samples) % 3 == 0 else 1.0
            fixed, each = (1.5e-3, 8e-6) if is_disturbed else (0.5e-3, 5.5e-6)
            samples.append(own * (fixed + each * visit.batch_size))
            references.append(4e-5 if is_disturbed else 2.7e-5 * own)
            self.now += max(samples[-1], 0.002)
        return Visited(tuple(samples), tuple(references))

    def products(self) -> dict[int, float]:
        return {}


def test_runs_with_other_spells_have_the_same_medians_and_the_same_advice():
    """Spells of some seconds, as a neighbour makes them, over a third of one run and most of the other."""
    machines = SharedMachine(lambda now: now % 9 > 6), SharedMachine(lambda now: now % 7 > 1.5)
    runs = [run(machine, sizes=DEFAULT_SIZES[:-1], phases=("train",)) for machine in machines]
    found = [
        [(cell.batch_size, cell.least_disturbed(one.fastest[0]), cell.samples) for cell in one.cells] for one in runs
    ]
    ratios = [median(first[1]) / median(second[1]) for first, second in zip(*found, strict=True)]
    assert ratios == pytest.approx([1.0] * 7, abs=0.03)
    ratios_of_all = [median(second[2]) / median(first[2]) for first, second in zip(*found, strict=True)]
    assert max(ratios_of_all) > 1.3
