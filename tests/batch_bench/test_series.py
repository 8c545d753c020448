"""Series and their statistics for fixed samples."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlcli.batch_bench.records import BenchEngine, BenchSeries
from mlcli.batch_bench.statistics import add_statistics, epoch_steps
from mlcli.config.schema import LogisticModel
from mlcli.models.layers import build_network

ENGINE = BenchEngine(
    "torch",
    2,
    "cpu",
    60000,
    clock_resolution_seconds=1e-7,
    matrix_products={100: [1e-3, 2e-3]},
    waiting="spin",
    notes=(),
    fastest_probe_seconds=1.0,
)
NETWORK = build_network(LogisticModel(), (5,), 10)  # 100 operations forward, 200 in training


def series(batch_size, *samples, phase="train", n_samples=60000, **fields):
    fields = {"probes": [1.0] * len(samples), "calls_per_sample": 1} | fields
    found = BenchSeries(
        "torch", 2, phase, batch_size, *epoch_steps(n_samples, batch_size), samples=list(samples), **fields
    )
    add_statistics([found], ENGINE, NETWORK)
    return found


def test_statistics_describe_the_samples():
    found = series(10, 0.010, 0.011, 0.012, 0.013, 0.014, 0.024).statistics
    assert found.median_seconds == pytest.approx(0.0125)
    assert found.median_interval == (0.010, 0.024)
    assert found.half_width == pytest.approx(0.0115 / 0.0125)
    assert (found.first_quartile_seconds, found.third_quartile_seconds) == pytest.approx((0.01125, 0.01375))
    assert found.spread == pytest.approx(0.2)
    assert found.p95_seconds == pytest.approx(0.0215)
    assert found.seconds_per_sample == pytest.approx(0.00125)
    assert found.samples_per_second == pytest.approx(800)


def test_statistics_use_undisturbed_samples_and_all_samples_are_kept():
    found = series(10, *[0.010] * 6, *[0.020] * 8, probes=[1.05] * 6 + [1.3] * 8)
    assert found.disturbed == [False] * 6 + [True] * 8
    assert (len(found.samples), len(found.probes)) == (14, 14)
    statistics = found.statistics
    assert (statistics.median_seconds, statistics.p95_seconds, statistics.median_of_all_seconds) == (
        0.010,
        0.010,
        0.020,
    )
    assert (statistics.n_samples, statistics.n_disturbed, statistics.slowdown) == (6, 0, 1.05)


def test_statistics_of_the_least_disturbed_samples_tell_how_disturbed_they_are():
    statistics = series(
        10, *[0.010] * 2, *[0.012] * 5, *[0.020] * 8, probes=[1.0] * 2 + [1.2] * 5 + [2.0] * 8
    ).statistics
    assert (statistics.n_samples, statistics.n_disturbed, statistics.slowdown) == (7, 5, 1.2)
    assert statistics.median_seconds == 0.012


def test_operations_per_second_are_relative_to_the_fastest_matrix_product():
    assert ENGINE.peak_flops == 2e9
    training, forward = (series(10, 1e-3, phase=phase).statistics for phase in ("train", "forward"))
    assert (forward.flops, forward.fraction_of_peak) == pytest.approx((10 * 100 / 1e-3, 10 * 100 / 1e-3 / 2e9))
    assert training.flops == pytest.approx(2 * forward.flops)


@pytest.mark.parametrize(
    ("batch_size", "steps", "last"), [(1, 60000, 1), (128, 469, 96), (60000, 1, 60000), (70000, 1, 60000)]
)
def test_an_epoch_has_its_steps_and_a_short_last_one(batch_size, steps, last):
    found = series(batch_size, 1.0)
    assert (found.steps_per_epoch, found.last_batch_size) == (steps, last)


def test_speedups_are_relative_to_the_smallest_size_that_was_measured():
    too_large = replace(series(1000, 1.0), statistics=None, status="out of memory")
    found = [series(100, 0.05), series(10, 0.01), too_large]
    add_statistics(found, ENGINE, NETWORK)
    assert [one.statistics.speedup if one.statistics else None for one in found] == pytest.approx([2.0, 1.0, None])
