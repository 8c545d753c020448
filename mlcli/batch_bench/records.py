"""The nouns of `mlcli batch-bench`. Times in seconds, memory in bytes, rates in 1/s."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

BATCH_BENCH_SCHEMA_VERSION = 1

Phase = Literal["forward", "train"]
PHASES: tuple[Phase, ...] = ("forward", "train")
PrecisionName = Literal["float32", "float64", "tf32", "bf16"]

CLOSE_ENOUGH = 0.95  # of the best throughput, for the advice


@dataclass(frozen=True)
class BenchSettings:
    """What was asked for."""

    backends: tuple[str, ...]
    threads: tuple[int, ...]
    phases: tuple[Phase, ...]
    sizes: tuple[int, ...] | None  # None: doubled until memory or throughput stops it
    min_seconds: float  # least time spent sampling each figure
    max_seconds: float  # most time, unless too few undisturbed samples were taken by then
    repeats: int | None  # samples of each figure; None: until the interval of the median is narrow enough
    precision: PrecisionName
    compiled: bool
    include_transfer: bool
    tile: bool


@dataclass(frozen=True)
class BenchSubject:
    """One engine in a process of its own, with so many threads."""

    backend: str
    threads: int
    device: str
    n_samples: int  # of the training split, without tiling
    startup_seconds: float  # process started, framework imported, data read, model built, peak found
    clock_resolution_seconds: float
    matrix_products: Mapping[int, tuple[float, ...]]  # n -> seconds of each n x n product
    waiting: Literal["spin", "sleep"]  # what threads do until there is work; sleep on a busy machine
    notes: tuple[str, ...]
    fastest_reference_seconds: float = 0.0  # of the work that tells whether a sample was disturbed

    @property
    def peak_flops(self) -> float | None:
        """The fastest matrix product seen, in floating-point operations per second: 2 n^3 of them each."""
        rates = [2 * n**3 / seconds for n, samples in self.matrix_products.items() for seconds in samples]
        return max(rates, default=None)


@dataclass(frozen=True)
class BenchFigures:
    """What the undisturbed samples of a series say; the least disturbed ones, where there are too few of those.
    Quartiles, percentile and interval are over samples."""

    median_seconds: float  # per batch
    median_interval: tuple[float, float] | None  # 95 %; None for fewer than 6 samples
    first_quartile_seconds: float
    third_quartile_seconds: float
    p95_seconds: float
    seconds_per_sample: float
    samples_per_second: float
    speedup: float  # throughput over that of the smallest size measured
    flops: float | None  # per second; None for models whose operations are not counted
    share_of_peak: float | None
    n_samples: int  # that these figures are made of
    n_disturbed: int  # among them
    slowdown: float  # the longest reference among them over the fastest of the subject
    median_of_all_seconds: float  # disturbed samples included

    @property
    def spread(self) -> float:
        """The interquartile range as a share of the median."""
        return (self.third_quartile_seconds - self.first_quartile_seconds) / self.median_seconds

    @property
    def half_width(self) -> float | None:
        """How far the interval of the median reaches from it at most, as a share of it."""
        if self.median_interval is None:
            return None
        low, high = self.median_interval
        return max(high - self.median_seconds, self.median_seconds - low) / self.median_seconds


@dataclass(frozen=True)
class BenchSeries:
    """One engine, thread count, phase and batch size. samples: seconds per batch, each a mean over calls_per_sample
    consecutive batches, in the order taken; references: how long the same short piece of work took next to each of
    them; disturbed: whether that was too long. No figures, and the reason, where nothing was measured."""

    backend: str
    threads: int
    phase: Phase
    batch_size: int
    steps_per_epoch: int  # ceil(n / batch_size)
    last_batch_size: int
    status: Literal["measured", "out of memory", "not applicable"]
    reason: str | None = None
    loss: float | None = None  # mean cross-entropy of the first batch before any training, nats per sample
    first_call_seconds: float | None = None
    calls_per_sample: int | None = None
    samples: tuple[float, ...] = ()
    references: tuple[float, ...] = ()
    disturbed: tuple[bool, ...] = ()
    sampled_seconds: float = 0.0  # of all samples together
    warmup_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    figures: BenchFigures | None = None


@dataclass(frozen=True)
class BenchAdvice:
    """The smallest batch size within 5 % of the best throughput of one engine, thread count and phase; perhaps within
    5 %, for what the intervals of the medians say."""

    backend: str
    threads: int
    phase: Phase
    batch_size: int
    samples_per_second: float
    best_batch_size: int
    best_samples_per_second: float
    steps_per_epoch: int
    last_batch_size: int
    configured_batch_size: int | None
    configured_steps_per_epoch: int | None
    command: str | None  # trains with it

    @property
    def is_close(self) -> bool:
        """Whether the medians themselves are within 5 %."""
        return self.samples_per_second >= CLOSE_ENOUGH * self.best_samples_per_second


@dataclass(frozen=True)
class BenchTiming:
    """Where the wall time went: wall = startup + measured + warm-up + harness."""

    wall_seconds: float
    startup_seconds: float
    measured_seconds: float  # first calls, samples and matrix products
    warmup_seconds: float

    @property
    def harness_seconds(self) -> float:
        return self.wall_seconds - self.startup_seconds - self.measured_seconds - self.warmup_seconds

    @property
    def unmeasured_share(self) -> float:
        """Warm-up and harness as a share of the time after the start-up."""
        return (self.warmup_seconds + self.harness_seconds) / (self.wall_seconds - self.startup_seconds)


@dataclass(frozen=True)
class BatchBenchRecord:
    """A whole benchmark."""

    experiment: str
    dataset: str
    model: str
    n_parameters: int | None
    settings: BenchSettings
    subjects: tuple[BenchSubject, ...]
    series: tuple[BenchSeries, ...]
    advice: tuple[BenchAdvice, ...]
    warnings: tuple[str, ...]
    timing: BenchTiming
    environment: Mapping[str, Any]
    busy_cores: float | None  # cores that other programs kept busy meanwhile; None where the system does not say
    created: str  # UTC, ISO 8601
    schema_version: int = BATCH_BENCH_SCHEMA_VERSION
