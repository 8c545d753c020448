"""Record types of `mlcli batch-bench`. Times in seconds, memory in bytes, rates per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlcli.experiment.plan import Plan

Phase = Literal["forward", "train"]
PHASES: tuple[Phase, ...] = ("forward", "train")
PHASE_TITLES: Mapping[Phase, str] = {"forward": "prediction", "train": "training"}
PrecisionName = Literal["float32", "float64", "tf32", "bf16"]


@dataclass(frozen=True)
class BenchSettings:
    """What is measured, and for how long."""

    backends: tuple[str, ...]
    threads: tuple[int, ...]
    phases: tuple[Phase, ...]
    sizes: tuple[int, ...] | None  # None: doubled until memory or throughput stops it
    min_seconds: float  # of sampling per batch size
    max_seconds: float  # of sampling per batch size; exceeded only to take six samples of slow batches
    repeats: int | None  # samples per batch size; None: until the interval of the median is narrow enough
    precision: PrecisionName
    compiled: bool
    include_transfer: bool

    @property
    def matmul_precision(self) -> Literal["tf32", "bf16"] | None:
        """The reduced precision of matrix products, if any."""
        return self.precision if self.precision in ("tf32", "bf16") else None


@dataclass(frozen=True)
class WorkerSpec:
    """The engine that a worker measures."""

    plan: Plan
    run: Path | None  # the directory of a run whose weights are used; None: initial weights
    threads: int
    matmul_precision: Literal["tf32", "bf16"] | None = None
    compiled: bool = False
    include_transfer: bool = False
    data_directory: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class MeasurementRequest:
    """Asks for samples of one phase and batch size."""

    phase: Phase
    batch_size: int
    seconds: float  # of sampling
    max_samples: int | None
    warmup_seconds: float  # at most, before the first samples of this phase and size


@dataclass(frozen=True)
class MeasurementResult:
    """New samples of one phase and batch size."""

    samples: tuple[float, ...] = ()  # seconds per batch
    probes: tuple[float, ...] = ()  # seconds of the speed probe next to each sample
    calls_per_sample: int = 1
    warmup_seconds: float = 0.0
    first_call_seconds: float | None = None  # in the first result of this phase and size, as is the loss
    loss: float | None = None
    peak_memory_bytes: int | None = None
    out_of_memory: str | None = None  # the message of the framework


@dataclass
class BenchEngine:
    """One engine with one thread count, measured in its own process. The last two fields grow meanwhile."""

    backend: str
    threads: int
    device: str
    n_samples: int  # in the training split
    clock_resolution_seconds: float
    waiting: Literal["spin", "sleep"]  # what idle threads do; sleep on a busy machine
    notes: tuple[str, ...] = ()
    startup_seconds: float = 0.0  # from the start of the process until the model and the data are ready
    matrix_products: dict[int, list[float]] = field(default_factory=dict)  # n -> seconds of each n x n product
    fastest_probe_seconds: float = 0.0  # speed probe on an undisturbed machine

    @property
    def peak_flops(self) -> float | None:
        """The fastest matrix product, in floating-point operations per second (2 n^3 operations each)."""
        rates = [2 * n**3 / seconds for n, samples in self.matrix_products.items() for seconds in samples]
        return max(rates, default=None)


@dataclass(frozen=True)
class WorkerHello:
    """The first message of a worker: it is ready to measure this engine."""

    engine: BenchEngine
    fingerprint: str  # of the data


@dataclass(frozen=True)
class SeriesStatistics:
    """Statistics over the undisturbed samples of a series; over the least disturbed ones if those are not enough."""

    median_seconds: float  # per batch
    median_interval: tuple[float, float] | None  # 95 %; None for fewer than 6 samples
    first_quartile_seconds: float
    third_quartile_seconds: float
    p95_seconds: float
    seconds_per_sample: float
    samples_per_second: float
    speedup: float  # throughput relative to the smallest size measured
    flops: float | None  # per second; None for models whose operations are not counted
    fraction_of_peak: float | None
    n_samples: int  # used for these statistics
    n_disturbed: int  # among them
    slowdown: float  # the slowest speed probe among them relative to the fastest
    median_of_all_seconds: float  # disturbed samples included
    spread: float  # the interquartile range relative to the median
    half_width: float | None  # the larger distance from the median to an end of its interval, relative to the median


@dataclass
class BenchSeries:
    """All samples so far of one engine, thread count, phase and batch size; none where nothing could be measured."""

    backend: str
    threads: int
    phase: Phase
    batch_size: int
    steps_per_epoch: int  # ceil(n / batch_size)
    last_batch_size: int
    status: Literal["measured", "out of memory", "not applicable"] = "measured"
    reason: str | None = None  # why nothing was measured
    loss: float | None = None  # mean cross-entropy of the first batch before any training, nats per sample
    first_call_seconds: float | None = None
    calls_per_sample: int | None = None
    samples: list[float] = field(default_factory=list)  # seconds per batch, means over calls_per_sample calls
    probes: list[float] = field(default_factory=list)  # seconds of the speed probe next to each sample
    disturbed: list[bool] = field(default_factory=list)  # whether the speed probe next to the sample was too slow
    sampled_seconds: float = 0.0  # all samples together, without the first call, which may be a long compilation
    warmup_seconds: float = 0.0
    peak_memory_bytes: int | None = None
    statistics: SeriesStatistics | None = None
    n_rounds: int = 0  # in which it was measured

    @property
    def group(self) -> tuple[str, int, Phase]:
        """What series of different batch sizes share: engine, thread count and phase."""
        return self.backend, self.threads, self.phase

    def add(self, result: MeasurementResult) -> None:
        """Add the result of one request."""
        self.n_rounds += 1
        self.samples += result.samples
        self.probes += result.probes
        self.warmup_seconds += result.warmup_seconds
        self.sampled_seconds += sum(result.samples) * result.calls_per_sample
        if self.first_call_seconds is None:
            self.first_call_seconds = result.first_call_seconds
        if self.loss is None:
            self.loss = result.loss
        if self.peak_memory_bytes is None:  # later, the process may hold what larger sizes need
            self.peak_memory_bytes = result.peak_memory_bytes
        if result.out_of_memory is None:
            self.calls_per_sample = result.calls_per_sample
        else:
            self.status, self.reason = "out of memory", result.out_of_memory


@dataclass(frozen=True)
class BenchAdvice:
    """The smallest batch size within 5 % of the peak throughput of an engine, thread count and phase.

    Within 5 % means that the intervals of the medians do not rule it out.
    """

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
    command: str | None  # trains with this batch size


@dataclass(frozen=True)
class BenchTiming:
    """Where the wall time went: wall = start-up + measured + warm-up + harness."""

    wall_seconds: float
    startup_seconds: float
    measured_seconds: float  # first calls, samples and matrix products
    warmup_seconds: float
    harness_seconds: float
    unmeasured_fraction: float  # warm-up and harness as a fraction of the time after start-up


@dataclass(frozen=True)
class BatchBenchRecord:
    """The result of one benchmark."""

    schema_version: int = field(default=2, init=False)
    experiment: str
    dataset: str
    model: str
    n_parameters: int | None
    settings: BenchSettings
    engines: tuple[BenchEngine, ...]
    series: tuple[BenchSeries, ...]
    advice: tuple[BenchAdvice, ...]
    warnings: tuple[str, ...]
    timing: BenchTiming
    environment: Mapping[str, Any]
    busy_cores: float | None  # cores kept busy by other processes; None where the system does not tell
    created: str  # UTC, ISO 8601

    @property
    def has_several_thread_counts(self) -> bool:
        """Whether sentences about an engine must tell its thread count."""
        return len({engine.threads for engine in self.engines}) > 1
