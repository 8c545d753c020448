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
from dataclasses import replace
from functools import lru_cache
from statistics import median

import numpy as np

from mlcli.batch_bench.records import BenchEngine, BenchSeries, BenchSettings, Phase, SeriesStatistics
from mlcli.models.layers import Network

MIN_SAMPLES = 6  # fewer have no 95 % interval of the median
_TAILS = 40  # the inverse of the probability in one tail of a 95 % interval
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
    """Return the largest k with P(B < k) <= 2.5 %; 0 if there is none. Exact, in integers that are 2^n times larger."""
    k, below, equal = 0, 0, 1  # 2^n P(B < k) and 2^n P(B = k)
    while _TAILS * (below + equal) <= 2**n:
        below += equal
        equal = equal * (n - k) // (k + 1)
        k += 1
    return k


def half_width(values: Sequence[float]) -> float | None:
    """Return the larger distance from the median to an end of its interval, relative to the median; None below six."""
    interval = median_interval(values)
    if interval is None:
        return None
    low, high = interval
    middle = median(values)
    return max(middle - low, high - middle) / middle


def fastest_probe(probes: Sequence[float]) -> float:
    """Return the seconds of the speed probe on an undisturbed machine; 0 without any probe."""
    return float(np.quantile(probes, _FASTEST_QUANTILE)) if probes else 0.0


def disturbed_marks(probes: Iterable[float], fastest: float) -> list[bool]:
    """Return for each sample whether its speed probe was too slow. fastest: the fastest probe of the engine."""
    return [seconds > _PROBE_LIMIT * fastest for seconds in probes]


def least_disturbed(samples: Sequence[float], probes: Sequence[float], fastest: float) -> list[float]:
    """Return the undisturbed samples; if there are fewer than six, those with the fastest probes."""
    ordered = sorted(probes)
    limit = max(_PROBE_LIMIT * fastest, ordered[min(MIN_SAMPLES, len(ordered)) - 1])
    return [seconds for seconds, probe in zip(samples, probes, strict=True) if probe <= limit]


def is_done(series: BenchSeries, settings: BenchSettings, fastest: float) -> bool:
    """Return whether no further samples are needed or allowed. fastest: the fastest probe of the engine so far."""
    if series.status == "out of memory":
        return True
    if settings.repeats is not None:
        return len(series.samples) >= settings.repeats
    if series.sampled_seconds >= settings.max_seconds:
        limit = _SLOW_BATCHES * settings.max_seconds
        return len(series.samples) >= MIN_SAMPLES or series.sampled_seconds >= limit
    return _is_known(series, settings, fastest)


def _is_known(series: BenchSeries, settings: BenchSettings, fastest: float) -> bool:
    """Return whether the undisturbed samples alone are enough."""
    marks = disturbed_marks(series.probes, fastest)
    undisturbed = [seconds for seconds, is_disturbed in zip(series.samples, marks, strict=True) if not is_disturbed]
    seconds = sum(undisturbed) * (series.calls_per_sample or 1)
    if series.n_rounds < MIN_ROUNDS or seconds < settings.min_seconds:
        return False
    width = half_width(undisturbed)
    return width is not None and width <= TOLERANCE


def epoch_steps(n_samples: int, batch_size: int) -> tuple[int, int]:
    """Return the number of batches in an epoch and the size of the last one."""
    steps = math.ceil(n_samples / batch_size)
    return steps, n_samples - (steps - 1) * batch_size


def add_statistics(series: Iterable[BenchSeries], engine: BenchEngine, network: Network | None) -> None:
    """Mark the disturbed samples of an engine, and add the statistics of each batch size that was measured.

    Speed-ups are relative to the smallest measured size of the same phase.
    """
    base: dict[Phase, float] = {}
    for one in sorted(series, key=lambda one: one.batch_size):
        one.disturbed = disturbed_marks(one.probes, engine.fastest_probe_seconds)
        if one.status == "measured":
            statistics = _statistics(one, engine, network)
            rate = statistics.samples_per_second
            one.statistics = replace(statistics, speedup=rate / base.setdefault(one.phase, rate))


def _statistics(series: BenchSeries, engine: BenchEngine, network: Network | None) -> SeriesStatistics:
    fastest = engine.fastest_probe_seconds
    samples = least_disturbed(series.samples, series.probes, fastest)
    probes = least_disturbed(series.probes, series.probes, fastest)
    seconds = median(samples)
    first_quartile, third_quartile, p95 = np.quantile(samples, [0.25, 0.75, 0.95]).tolist()
    rate = None
    if network is not None:
        flops = network.forward_flops() if series.phase == "forward" else network.train_flops()
        rate = flops * series.batch_size / seconds
    return SeriesStatistics(
        median_seconds=seconds,
        median_interval=median_interval(samples),
        first_quartile_seconds=first_quartile,
        third_quartile_seconds=third_quartile,
        p95_seconds=p95,
        seconds_per_sample=seconds / series.batch_size,
        samples_per_second=series.batch_size / seconds,
        speedup=1.0,
        flops=rate,
        fraction_of_peak=rate / engine.peak_flops if rate and engine.peak_flops else None,
        n_samples=len(samples),
        n_disturbed=sum(disturbed_marks(probes, fastest)),
        slowdown=max(probes) / fastest if fastest else 1.0,
        median_of_all_seconds=median(series.samples),
        spread=(third_quartile - first_quartile) / seconds,
        half_width=half_width(samples),
    )
