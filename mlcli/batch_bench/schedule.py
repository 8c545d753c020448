"""Which batch size is measured when: interleaved rounds over all sizes, engines and phases."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median

from mlcli.batch_bench.records import BenchEngine, BenchSeries, BenchSettings, MeasurementRequest, Phase
from mlcli.batch_bench.report import BenchProgress
from mlcli.batch_bench.statistics import MIN_ROUNDS, epoch_steps, fastest_probe, is_done, least_disturbed
from mlcli.batch_bench.worker import Worker
from mlcli.errors import UsageError

# `auto` stops when this many doublings in a row have raised no throughput by more than this fraction.
_PATIENCE = 3
_WORTHWHILE = 0.05
_ROUNDS = 12  # in which max_seconds are spent
_WARMUP_FRACTION = 0.05  # of max_seconds


def fitting_sizes(sizes: Sequence[int], n_samples: int, *, is_default: bool) -> tuple[int, ...]:
    """Return the batch sizes that the data can fill. Larger default sizes are dropped, other ones a UsageError."""
    fitting = tuple(size for size in sizes if size <= n_samples)
    if len(fitting) < len(sizes) and not is_default:
        raise UsageError(f"--sizes: batch size {max(sizes):,} exceeds the {n_samples:,} samples; use smaller sizes")
    return fitting


def is_worth_doubling(throughputs: Sequence[float]) -> bool:
    """Return whether the last doublings were worth it. throughputs: samples/s by ascending size."""
    if len(throughputs) <= _PATIENCE:
        return True
    return max(throughputs[-_PATIENCE:]) > (1 + _WORTHWHILE) * max(throughputs[:-_PATIENCE])


@dataclass
class ScheduledEngine:
    """An engine in its worker, and what was measured of it so far."""

    worker: Worker
    engine: BenchEngine
    phases: tuple[Phase, ...]
    fingerprint: str = ""  # of the data
    series: list[BenchSeries] = field(default_factory=list)


class Schedule:
    """Measures in rounds until every median is known or its time is up.

    The first round takes the sizes in ascending order, so that first calls are those of a fresh process. Every later
    round has its own random order, so that drift of the machine does not look like a trend over sizes.
    """

    def __init__(self, engines: Sequence[ScheduledEngine], settings: BenchSettings, progress: BenchProgress) -> None:
        self._engines = engines
        self._settings = settings
        self._progress = progress
        self._n_samples = min(one.engine.n_samples for one in engines)  # in the data that batches are cut from

    def run(self, sizes: Sequence[int] | None) -> None:
        """Measure all sizes; None doubles from 1 on. The samples go to the series of the engines."""
        for size in self._doubling() if sizes is None else sizes:
            self._measure_first(size)
        for n_round in itertools.count(1):
            # In every round, because the peak drifts with the machine too.
            for scheduled in self._engines:
                for n, seconds in scheduled.worker.matrix_products().items():
                    scheduled.engine.matrix_products.setdefault(n, []).append(seconds)
            if self._n_done() == len(self._series()):
                return
            order = sorted({series.batch_size for _, series in self._series()})
            random.Random(n_round).shuffle(order)
            for size in order:
                for scheduled, series in self._series():
                    if series.batch_size == size and not self._is_done(scheduled, series):
                        self._measure(scheduled, series)

    def _series(self) -> list[tuple[ScheduledEngine, BenchSeries]]:
        return [(scheduled, series) for scheduled in self._engines for series in scheduled.series]

    def _measure_first(self, size: int) -> None:
        for scheduled in self._engines:
            for phase in scheduled.phases:
                backend, threads = scheduled.engine.backend, scheduled.engine.threads
                series = BenchSeries(backend, threads, phase, size, *epoch_steps(self._n_samples, size))
                scheduled.series.append(series)
                self._measure(scheduled, series)

    def _measure(self, scheduled: ScheduledEngine, series: BenchSeries) -> None:
        settings = self._settings
        text = f"{series.backend}, threads: {series.threads}, {series.phase} {series.batch_size:,}"
        self._progress.on_measurement(text, self._n_done(), len(self._series()))
        max_samples = None
        if settings.repeats is not None:
            n_missing = settings.repeats - len(series.samples)
            max_samples = min(math.ceil(settings.repeats / MIN_ROUNDS), n_missing)
        request = MeasurementRequest(
            phase=series.phase,
            batch_size=series.batch_size,
            seconds=math.inf if max_samples else settings.max_seconds / _ROUNDS,
            max_samples=max_samples,
            warmup_seconds=_WARMUP_FRACTION * settings.max_seconds,
        )
        series.add(scheduled.worker.measure(request))
        probes = [seconds for one in scheduled.series for seconds in one.probes]
        scheduled.engine.fastest_probe_seconds = fastest_probe(probes)

    def _n_done(self) -> int:
        return sum(self._is_done(*one) for one in self._series())

    def _is_done(self, scheduled: ScheduledEngine, series: BenchSeries) -> bool:
        return is_done(series, self._settings, scheduled.engine.fastest_probe_seconds)

    def _doubling(self) -> Iterator[int]:
        """Yield 1, 2, 4 ... while memory, the data and the throughput of any series allow."""
        size = 1
        while size <= self._n_samples:
            yield size
            if not any(map(is_worth_doubling, self._throughputs())):
                return
            size *= 2

    def _throughputs(self) -> list[list[float]]:
        """Return samples/s by size for each engine and phase that has not run out of memory."""
        found = []
        for scheduled in self._engines:
            for phase in scheduled.phases:
                group = [one for one in scheduled.series if one.phase == phase]
                if all(one.status == "measured" for one in group):
                    fastest = scheduled.engine.fastest_probe_seconds
                    medians = [median(least_disturbed(one.samples, one.probes, fastest)) for one in group]
                    found.append([one.batch_size / seconds for one, seconds in zip(group, medians, strict=True)])
        return found
