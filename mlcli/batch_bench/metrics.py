"""From samples to figures: what a table of batch sizes shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from mlcli.batch_bench.disturbance import disturbed_marks, least_disturbed
from mlcli.batch_bench.records import BenchFigures, BenchSeries, BenchSubject, Phase
from mlcli.batch_bench.rounds import Cell
from mlcli.batch_bench.statistics import median, median_interval, quantile
from mlcli.models.layers import Network


def series_of(cell: Cell, subject: BenchSubject, n_held: int, network: Network | None) -> BenchSeries:
    """The series of a cell, its figures included but for the speed-up. n_held: samples of an epoch."""
    steps, last_batch_size = steps_of_epoch(n_held, cell.batch_size)
    series = BenchSeries(
        backend=subject.backend,
        threads=subject.threads,
        phase=cell.phase,
        batch_size=cell.batch_size,
        steps_per_epoch=steps,
        last_batch_size=last_batch_size,
        status="measured" if cell.out_of_memory is None else "out of memory",
        reason=cell.out_of_memory,
        loss=cell.loss,
        first_call_seconds=cell.first_call_seconds,
        calls_per_sample=cell.calls_per_sample,
        samples=tuple(cell.samples),
        references=tuple(cell.references),
        disturbed=tuple(disturbed_marks(cell.references, subject.fastest_reference_seconds)),
        sampled_seconds=cell.sampled_seconds,
        warmup_seconds=cell.warmup_seconds,
        peak_memory_bytes=cell.peak_memory_bytes,
    )
    if cell.out_of_memory is not None:
        return series
    return replace(series, figures=_figures(cell, subject, network))


def steps_of_epoch(n_samples: int, batch_size: int) -> tuple[int, int]:
    """Batches in an epoch, and the length of the last one."""
    steps = math.ceil(n_samples / batch_size)
    return steps, n_samples - (steps - 1) * batch_size


def _figures(cell: Cell, subject: BenchSubject, network: Network | None) -> BenchFigures:
    fastest = subject.fastest_reference_seconds
    samples = least_disturbed(cell.samples, cell.references, fastest)
    references = least_disturbed(cell.references, cell.references, fastest)
    seconds = median(samples)
    flops = _flops_per_sample(network, cell.phase)
    rate = None if flops is None else flops * cell.batch_size / seconds
    return BenchFigures(
        median_seconds=seconds,
        median_interval=median_interval(samples),
        first_quartile_seconds=quantile(samples, 0.25),
        third_quartile_seconds=quantile(samples, 0.75),
        p95_seconds=quantile(samples, 0.95),
        seconds_per_sample=seconds / cell.batch_size,
        samples_per_second=cell.batch_size / seconds,
        speedup=1.0,
        flops=rate,
        share_of_peak=rate / subject.peak_flops if rate and subject.peak_flops else None,
        n_samples=len(samples),
        n_disturbed=sum(disturbed_marks(references, fastest)),
        slowdown=max(references) / fastest if fastest else 1.0,
        median_of_all_seconds=median(cell.samples),
    )


def _flops_per_sample(network: Network | None, phase: Phase) -> int | None:
    if network is None:
        return None
    return network.forward_flops() if phase == "forward" else network.train_flops()


def with_speedups(series: Sequence[BenchSeries]) -> tuple[BenchSeries, ...]:
    """Each throughput over that of the smallest size measured of the same engine, thread count and phase."""
    base: dict[tuple[str, int, Phase], float] = {}
    for one in sorted(series, key=lambda one: one.batch_size):
        if one.figures is not None:
            base.setdefault((one.backend, one.threads, one.phase), one.figures.samples_per_second)
    return tuple(
        one
        if one.figures is None
        else replace(
            one,
            figures=replace(
                one.figures, speedup=one.figures.samples_per_second / base[one.backend, one.threads, one.phase]
            ),
        )
        for one in series
    )
