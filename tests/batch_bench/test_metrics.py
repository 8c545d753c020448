"""Figures and advice from samples that are written down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlcli.batch_bench.advice import advise, warn
from mlcli.batch_bench.metrics import series_of, with_speedups
from mlcli.batch_bench.records import PHASES, BenchSeries, BenchSettings, BenchSubject
from mlcli.batch_bench.rounds import Cell
from mlcli.config.schema import LogisticModel
from mlcli.models.layers import build_network

SUBJECT = BenchSubject(
    "torch",
    2,
    "cpu",
    60000,
    3.0,
    clock_resolution_seconds=1e-7,
    matrix_products={100: (1e-3, 2e-3)},
    waiting="spin",
    notes=(),
    fastest_reference_seconds=1.0,
)
SETTINGS = BenchSettings(("torch",), (2,), PHASES, None, 0.25, 2.0, None, "float32", False, False, False)
NETWORK = build_network(LogisticModel(), (5,), 10)  # 100 operations forward, 200 in training


def series(batch_size: int, *samples: float, phase="train", n_samples=60000, **fields) -> BenchSeries:
    fields = {"references": [1.0] * len(samples), "calls_per_sample": 1} | fields
    cell = Cell(0, phase, batch_size, samples=list(samples), **fields)
    return series_of(cell, SUBJECT, n_samples, NETWORK)


def ladder(throughputs: dict[int, float], phase="train") -> tuple[BenchSeries, ...]:
    return with_speedups([series(size, *[size / rate] * 6, phase=phase) for size, rate in throughputs.items()])


def test_figures_are_those_of_the_samples():
    found = series(10, 0.010, 0.011, 0.012, 0.013, 0.014, 0.024).figures
    assert found.median_seconds == pytest.approx(0.0125)
    assert found.median_interval == (0.010, 0.024)
    assert found.half_width == pytest.approx(0.0115 / 0.0125)
    assert (found.first_quartile_seconds, found.third_quartile_seconds) == pytest.approx((0.01125, 0.01375))
    assert found.spread == pytest.approx(0.2)
    assert found.p95_seconds == pytest.approx(0.0215)
    assert found.seconds_per_sample == pytest.approx(0.00125)
    assert found.samples_per_second == pytest.approx(800)


def test_figures_are_those_of_undisturbed_samples_and_all_are_kept():
    found = series(10, *[0.010] * 6, *[0.020] * 8, references=[1.05] * 6 + [1.3] * 8)
    assert found.disturbed == (False,) * 6 + (True,) * 8
    assert (len(found.samples), len(found.references)) == (14, 14)
    figures = found.figures
    assert (figures.median_seconds, figures.p95_seconds, figures.median_of_all_seconds) == (0.010, 0.010, 0.020)
    assert (figures.n_samples, figures.n_disturbed, figures.slowdown) == (6, 0, 1.05)


def test_figures_of_the_least_disturbed_samples_say_how_disturbed_they_are():
    figures = series(10, *[0.010] * 2, *[0.012] * 5, *[0.020] * 8, references=[1.0] * 2 + [1.2] * 5 + [2.0] * 8).figures
    assert (figures.n_samples, figures.n_disturbed, figures.slowdown) == (7, 5, 1.2)
    assert figures.median_seconds == 0.012


def test_operations_per_second_are_set_against_the_fastest_matrix_product():
    assert SUBJECT.peak_flops == 2e9
    training, forward = (series(10, 1e-3, phase=phase).figures for phase in ("train", "forward"))
    assert (forward.flops, forward.share_of_peak) == pytest.approx((10 * 100 / 1e-3, 10 * 100 / 1e-3 / 2e9))
    assert training.flops == pytest.approx(2 * forward.flops)


@pytest.mark.parametrize(
    ("batch_size", "steps", "last"), [(1, 60000, 1), (128, 469, 96), (60000, 1, 60000), (70000, 1, 60000)]
)
def test_an_epoch_has_so_many_steps_and_a_short_last_one(batch_size, steps, last):
    found = series(batch_size, 1.0)
    assert (found.steps_per_epoch, found.last_batch_size) == (steps, last)


def test_speedups_are_over_the_smallest_size_that_was_measured():
    too_large = replace(series(1000, 1.0), figures=None, status="out of memory")
    found = with_speedups([series(100, 0.05), series(10, 0.01), too_large])
    assert [one.figures.speedup if one.figures else None for one in found] == pytest.approx([2.0, 1.0, None])


def test_the_advice_is_the_smallest_size_within_five_percent_of_the_best():
    (advice,) = advise(
        ladder({1: 100, 100: 940, 300: 960, 1000: 1000, 6000: 980}), 60000, 128, lambda *given: f"line {given}"
    )
    assert (advice.batch_size, advice.best_batch_size) == (300, 1000)
    assert (advice.steps_per_epoch, advice.last_batch_size) == (200, 300)
    assert (advice.configured_batch_size, advice.configured_steps_per_epoch) == (128, 469)
    assert advice.command == "line ('torch', 2, 300)"


@pytest.mark.parametrize(
    ("throughputs", "spread", "chosen"),
    [
        ({100: 800, 300: 940, 1000: 1000}, 0.0, 1000),
        ({100: 800, 300: 940, 1000: 1000}, 0.03, 300),  # 940 is 970 perhaps, and 1000 is 970
        ({100: 800, 300: 920, 1000: 1000}, 0.01, 1000),
        ({100: 890, 300: 910, 1000: 1000}, 0.5, 300),  # nobody knows, but so much less is not advised
    ],
)
def test_a_size_is_within_five_percent_unless_the_intervals_rule_it_out(throughputs, spread, chosen):
    rows = [
        series(size, *(size / rate * (1 + spread * step) for step in (-1, -0.5, -0.1, 0.1, 0.5, 1)))
        for size, rate in throughputs.items()
    ]
    (advice,) = advise(rows, 60000, None, lambda *_: None)
    assert advice.batch_size == chosen


def test_a_best_size_that_is_not_known_well_may_be_closer_than_it_looks():
    def best(spread: float) -> BenchSeries:
        return series(1000, *(1 + spread * step for step in (-1, -0.5, -0.1, 0.1, 0.5, 1)))

    exact = series(300, *[300 / 940] * 6)
    assert [advise([exact, best(spread)], 60000, None, lambda *_: None)[0].batch_size for spread in (0.0, 0.03)] == [
        1000, 300,
    ]  # fmt: skip


def test_prediction_has_advice_of_its_own_and_no_line_to_train_with():
    found = advise((*ladder({1: 1, 10: 2}), *ladder({1: 100, 10: 100}, "forward")), 60000, None, lambda *_: "line")
    assert [(one.phase, one.batch_size, one.command) for one in found] == [("train", 10, "line"), ("forward", 1, None)]


def test_nobody_is_told_to_train_with_more_than_there_is():
    found = advise((*ladder({100: 1, 70000: 2}), *ladder({100: 1, 70000: 2}, "forward")), 60000, None, lambda *_: "")
    assert [(one.phase, one.batch_size) for one in found] == [("train", 100), ("forward", 70000)]


def test_nothing_measured_means_no_advice():
    assert advise([replace(series(1, 1.0), figures=None, status="out of memory")], 60000, None, lambda *_: "") == ()


def warnings(*given: BenchSeries, subject=SUBJECT, settings=SETTINGS, busy_cores=0.0) -> list[str]:
    return list(warn(given, [subject], settings, n_cores=2, busy_cores=busy_cores))


def test_quiet_figures_have_no_warnings():
    assert warnings(series(1, *[0.01] * 6, first_call_seconds=0.02)) == []


def test_a_wide_spread_names_the_sizes_and_more_time():
    wide, narrow = (0.01, 0.01, 0.02, 0.02, 0.03, 0.03), [0.01] * 6
    (line,) = warnings(series(1, *wide), series(10, *narrow), series(6000, *wide))
    assert "batches of 1 and 6,000 spread by more than 10 %" in line
    assert "--max-time 8" in line


def test_figures_of_disturbed_samples_are_named_with_more_time():
    alone, disturbed = [1.0] * 6, [1.4] * 6
    samples = [0.01] * 6
    (line,) = warnings(series(1, *samples, references=alone), series(10, *samples, references=disturbed))
    assert "hardly ever left batches of 10 alone" in line
    assert "up to 1.4 times its best" in line
    assert "--max-time 8" in line


def test_a_coarse_clock_is_named_with_larger_sizes():
    (line,) = warnings(series(1, *[0.01] * 6), subject=replace(SUBJECT, clock_resolution_seconds=0.0156))
    assert "clock" in line
    assert "--sizes" in line


@pytest.mark.parametrize(("compiled", "remedy"), [(True, "without --compile"), (False, "--max-time")])
def test_a_first_call_of_many_times_the_median_is_named(compiled, remedy):
    (line,) = warnings(series(1, *[0.01] * 6, first_call_seconds=4.0), settings=replace(SETTINGS, compiled=compiled))
    assert "400 times the median" in line
    assert remedy in line


def test_more_threads_than_cores_are_named_with_the_number_that_fits():
    (line,) = warnings(series(1, *[0.01] * 6), subject=replace(SUBJECT, threads=8))
    assert "8 threads share 2 cores" in line
    assert "--threads 2" in line


def test_other_programs_are_named():
    (line,) = warnings(series(1, *[0.01] * 6), busy_cores=1.5)
    assert "kept 1.5 of 2 cores busy" in line


def test_sleeping_threads_are_named():
    (line,) = warnings(series(1, *[0.01] * 6), subject=replace(SUBJECT, waiting="sleep"))
    assert "threads slept" in line
    assert "--threads 1" in line
