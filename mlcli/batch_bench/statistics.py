"""From samples to statistics: the interval of a median, which samples were disturbed, and the series of a batch size.

On a shared machine the same work now and then takes twice as long, for milliseconds or for many seconds: medians of
whole series differed by up to 40 % between two runs. Therefore a speed probe, a short piece of work that is always the
same, is timed before and after every sample. A sample is disturbed if its probe took more than 10 % longer than the
fastest probes. Samples are selected by their probes alone, never by their own times, so work that varies by itself
keeps its variation. A disturbance that lasts from beginning to end is not detected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import median

import numpy as np
from scipy.special import bdtr

from mlcli.batch_bench.records import (
    BenchEngine,
    BenchSeries,
    BenchSettings,
    MeasurementResult,
    Phase,
    SeriesStatistics,
)
from mlcli.models.layers import Network

MIN_SAMPLES = 6  # fewer have no 95 % interval of the median
_CONFIDENCE = 0.95
_FASTEST_QUANTILE = 0.01  # of all probes: not the very fastest, which may be luck
_PROBE_LIMIT = 1.10  # relative to the fastest probe
TOLERANCE = 0.02  # of the median, for both ends of its interval
MIN_ROUNDS = 6  # so that no series represents a single moment
_SLOW_BATCHES = 4.0  # times max_seconds, the limit for taking six samples of slow batches


def median_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Return an interval that holds the median of the distribution with 95 % confidence; None below six values.

    The values must be independent; nothing is assumed about their distribution. Of n ordered values the k-th smallest
    and the k-th largest enclose the median with probability 1 - 2 P(B < k), B binomial with n trials and p = 1/2
    (David and Nagaraja, "Order Statistics", 3rd edition, 2003, section 7.1); k is the largest that keeps 95 %.
    """
    k = _rank(len(values))
    if k == 0:
        return None
    ordered = sorted(values)
    return ordered[k - 1], ordered[-k]


@lru_cache
def _rank(n: int) -> int:
    """Return the largest k with P(B < k) <= (1 - confidence) / 2; 0 if there is none."""
    probabilities = bdtr(np.arange(n), n, 0.5)  # P(B <= 0), P(B <= 1), ...
    return int(np.searchsorted(probabilities, (1 - _CONFIDENCE) / 2, side="right"))


def half_width(values: Sequence[float]) -> float | None:
    """Return the larger distance from the median to an end of its interval, relative to the median; None below six."""
    interval = median_interval(values)
    if interval is None:
        return None
    low, high = interval
    middle = median(values)
    return max(middle - low, high - middle) / middle


def fastest_probe(probes: Iterable[float]) -> float:
    """Return the seconds of the speed probe on an undisturbed machine; 0 without any probe."""
    seconds = list(probes)
    return float(np.quantile(seconds, _FASTEST_QUANTILE)) if seconds else 0.0


def disturbed_marks(probes: Iterable[float], fastest: float) -> list[bool]:
    """Return for each sample whether its speed probe was too slow. fastest: the fastest probe of the engine."""
    return [seconds > _PROBE_LIMIT * fastest for seconds in probes]


def least_disturbed(samples: Sequence[float], probes: Sequence[float], fastest: float) -> list[float]:
    """Return the undisturbed samples; if there are fewer than six, those with the fastest probes."""
    ordered = sorted(probes)
    limit = max(_PROBE_LIMIT * fastest, ordered[min(MIN_SAMPLES, len(ordered)) - 1])
    return [seconds for seconds, probe in zip(samples, probes, strict=True) if probe <= limit]


@dataclass
class Measurements:
    """All measurements so far of one engine, phase and batch size."""

    engine: int  # position in the list of engines
    phase: Phase
    batch_size: int
    samples: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)  # one per sample
    sampled_seconds: float = 0.0  # without the first call, which may be a long compilation
    warmup_seconds: float = 0.0
    first_call_seconds: float | None = None
    calls_per_sample: int | None = None
    loss: float | None = None
    peak_memory_bytes: int | None = None
    out_of_memory: str | None = None
    n_rounds: int = 0

    def add(self, result: MeasurementResult) -> None:
        """Add the result of one request."""
        self.n_rounds += 1
        self.out_of_memory = result.out_of_memory
        self.samples += result.samples
        self.probes += result.probes
        self.warmup_seconds += result.warmup_seconds
        self.sampled_seconds += sum(result.samples) * result.calls_per_sample
        if self.first_call_seconds is None:
            self.first_call_seconds = result.first_call_seconds
        if self.loss is None:
            self.loss = result.loss
        if result.out_of_memory is None:
            self.calls_per_sample = result.calls_per_sample
        if self.peak_memory_bytes is None:  # later, the process may hold what larger sizes need
            self.peak_memory_bytes = result.peak_memory_bytes

    def least_disturbed(self, fastest: float) -> list[float]:
        """Return the samples that statistics are made of. fastest: the fastest probe of this engine."""
        return least_disturbed(self.samples, self.probes, fastest)

    def is_done(self, settings: BenchSettings, fastest: float) -> bool:
        """Return whether no further samples are needed or allowed. fastest: the fastest probe of this engine so far."""
        if self.out_of_memory is not None:
            return True
        if settings.repeats is not None:
            return len(self.samples) >= settings.repeats
        if self.sampled_seconds >= settings.max_seconds:
            limit = _SLOW_BATCHES * settings.max_seconds
            return len(self.samples) >= MIN_SAMPLES or self.sampled_seconds >= limit
        return self._is_known(settings, fastest)

    def _is_known(self, settings: BenchSettings, fastest: float) -> bool:
        """Return whether the undisturbed samples alone are enough."""
        marks = disturbed_marks(self.probes, fastest)
        undisturbed = [seconds for seconds, is_disturbed in zip(self.samples, marks, strict=True) if not is_disturbed]
        seconds = sum(undisturbed) * (self.calls_per_sample or 1)
        if self.n_rounds < MIN_ROUNDS or seconds < settings.min_seconds:
            return False
        width = half_width(undisturbed)
        return width is not None and width <= TOLERANCE


def fastest_probe_of(measurements: Sequence[Measurements], engine: int) -> float:
    """Return the fastest speed probe of an engine over all its measurements; 0 without any."""
    return fastest_probe(seconds for one in measurements if one.engine == engine for seconds in one.probes)


def series_of(measurements: Measurements, engine: BenchEngine, n_samples: int, network: Network | None) -> BenchSeries:
    """Return the series of one batch size, with its statistics except the speed-up. n_samples: in an epoch."""
    steps, last_batch_size = epoch_steps(n_samples, measurements.batch_size)
    is_measured = measurements.out_of_memory is None
    return BenchSeries(
        backend=engine.backend,
        threads=engine.threads,
        phase=measurements.phase,
        batch_size=measurements.batch_size,
        steps_per_epoch=steps,
        last_batch_size=last_batch_size,
        status="measured" if is_measured else "out of memory",
        reason=measurements.out_of_memory,
        loss=measurements.loss,
        first_call_seconds=measurements.first_call_seconds,
        calls_per_sample=measurements.calls_per_sample,
        samples=tuple(measurements.samples),
        probes=tuple(measurements.probes),
        disturbed=tuple(disturbed_marks(measurements.probes, engine.fastest_probe_seconds)),
        sampled_seconds=measurements.sampled_seconds,
        warmup_seconds=measurements.warmup_seconds,
        peak_memory_bytes=measurements.peak_memory_bytes,
        statistics=_statistics(measurements, engine, network) if is_measured else None,
    )


def epoch_steps(n_samples: int, batch_size: int) -> tuple[int, int]:
    """Return the number of batches in an epoch and the size of the last one."""
    steps = math.ceil(n_samples / batch_size)
    return steps, n_samples - (steps - 1) * batch_size


def _statistics(measurements: Measurements, engine: BenchEngine, network: Network | None) -> SeriesStatistics:
    fastest = engine.fastest_probe_seconds
    samples = measurements.least_disturbed(fastest)
    probes = least_disturbed(measurements.probes, measurements.probes, fastest)
    seconds = median(samples)
    first_quartile, third_quartile, p95 = np.quantile(samples, [0.25, 0.75, 0.95]).tolist()
    flops = _flops_per_sample(network, measurements.phase)
    rate = None if flops is None else flops * measurements.batch_size / seconds
    return SeriesStatistics(
        median_seconds=seconds,
        median_interval=median_interval(samples),
        first_quartile_seconds=first_quartile,
        third_quartile_seconds=third_quartile,
        p95_seconds=p95,
        seconds_per_sample=seconds / measurements.batch_size,
        samples_per_second=measurements.batch_size / seconds,
        speedup=1.0,
        flops=rate,
        share_of_peak=rate / engine.peak_flops if rate and engine.peak_flops else None,
        n_samples=len(samples),
        n_disturbed=sum(disturbed_marks(probes, fastest)),
        slowdown=max(probes) / fastest if fastest else 1.0,
        median_of_all_seconds=median(measurements.samples),
        spread=(third_quartile - first_quartile) / seconds,
        half_width=half_width(samples),
    )


def _flops_per_sample(network: Network | None, phase: Phase) -> int | None:
    if network is None:
        return None
    return network.forward_flops() if phase == "forward" else network.train_flops()


def with_speedups(series: Sequence[BenchSeries]) -> tuple[BenchSeries, ...]:
    """Return the series with each throughput relative to that of the smallest size measured in its group."""
    base: dict[tuple[str, int, Phase], float] = {}
    for one in sorted(series, key=lambda one: one.batch_size):
        if one.statistics is not None:
            base.setdefault(one.group, one.statistics.samples_per_second)
    return tuple(_with_speedup(one, base[one.group]) if one.statistics else one for one in series)


def _with_speedup(series: BenchSeries, base: float) -> BenchSeries:
    assert series.statistics is not None
    speedup = series.statistics.samples_per_second / base
    return replace(series, statistics=replace(series.statistics, speedup=speedup))
