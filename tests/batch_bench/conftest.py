"""A benchmark record with fixed values, for the tests of the report and the plots."""

from __future__ import annotations

import pytest

from mlcli.batch_bench.records import (
    PHASES,
    BatchBenchRecord,
    BenchAdvice,
    BenchEngine,
    BenchSeries,
    BenchSettings,
    BenchTiming,
    SeriesStatistics,
)

STATISTICS = SeriesStatistics(
    median_seconds=0.0125, median_interval=(0.0120, 0.0130), first_quartile_seconds=0.0122,
    third_quartile_seconds=0.0127, p95_seconds=0.0150, seconds_per_sample=1.25e-5, samples_per_second=80000.0,
    speedup=12.3, flops=3.2e10, fraction_of_peak=0.21, n_samples=6, n_disturbed=0, slowdown=1.05,
    median_of_all_seconds=0.0130, spread=0.04, half_width=0.04,
)  # fmt: skip
MEASURED = BenchSeries(
    "torch", 2, "train", 1000, 60, 1000, "measured", loss=2.3026, first_call_seconds=0.9, calls_per_sample=3,
    samples=[*[0.0125] * 6, 0.0225, 0.0225], probes=[*[26e-6] * 6, 50e-6, 50e-6],
    disturbed=[*[False] * 6, True, True], sampled_seconds=0.2, warmup_seconds=0.01, peak_memory_bytes=600 * 2**20,
    statistics=STATISTICS,
)  # fmt: skip
TOO_LARGE = BenchSeries("torch", 2, "train", 7000, 9, 4000, "out of memory", reason="out of memory: 9 GiB asked for")
NO_STEP = BenchSeries("sklearn", 2, "train", 1000, 60, 1000, "not applicable", reason="a single fit")
LINE = "mlcli train --batch-size 1000"


@pytest.fixture
def record():
    return BatchBenchRecord(
    experiment="mnist_mlp",
    dataset="mnist",
    model="mlp",
    n_parameters=203_530,
    settings=BenchSettings(("torch",), (2,), PHASES, (1000, 7000), 0.25, 2.0, None, "float32", False, False),
    engines=(
        BenchEngine("torch", 2, "cpu", 60000, 1e-7, "spin", (), 3.0, {1000: [0.0133, 0.0140]}, 26e-6),
        BenchEngine("sklearn", 2, "cpu", 60000, 1e-7, "spin", (), 3.0, {1000: [0.0133, 0.0140]}),
    ),
    series=(MEASURED, TOO_LARGE, NO_STEP),
    advice=(
        BenchAdvice("torch", 2, "train", 1000, 80000.0, 6000, 82000.0, 60, 1000, 128, 469, LINE),
    ),
    warnings=("a warning",),
    timing=BenchTiming(30.0, 10.0, 18.0, 1.0, harness_seconds=1.0, unmeasured_fraction=0.1),
    environment={"cores": 2},
    busy_cores=0.1,
    created="2026-01-01T00:00:00+00:00",
)  # fmt: skip
