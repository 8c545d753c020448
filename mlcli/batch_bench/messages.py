"""What a benchmark asks of an engine in its process, and what comes back; plain values, so that both travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from mlcli.batch_bench.records import Phase


@dataclass(frozen=True)
class SubjectSpec:
    """What a process is to measure."""

    config: str  # the experiment as JSON, resolved for its engine
    run: str | None  # the directory of a run whose weights are used; None: initial weights
    threads: int
    matmul_precision: Literal["tf32", "bf16"] | None
    compiled: bool
    include_transfer: bool
    data_directory: str | None
    offline: bool


@dataclass(frozen=True)
class Introduction:
    """What a process says of itself when it is ready."""

    device: str
    n_samples: int
    fingerprint: str
    is_iterative: bool
    clock_resolution_seconds: float
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Visit:
    """Measure one phase and batch size for so many seconds, or samples, after a warm-up of so many seconds."""

    phase: Phase
    batch_size: int
    seconds: float
    most_samples: int | None
    warmup_seconds: float


@dataclass(frozen=True)
class Visited:
    """New samples, in seconds per batch, and of each how long the reference took next to it. first_call_seconds and
    loss: at the first visit of this phase and size."""

    samples: tuple[float, ...] = ()
    references: tuple[float, ...] = ()
    calls_per_sample: int = 1
    warmup_seconds: float = 0.0
    first_call_seconds: float | None = None
    loss: float | None = None
    peak_memory_bytes: int | None = None
    out_of_memory: str | None = None  # what the framework said


class Subject(Protocol):
    """An engine that is being measured, in this process or in another."""

    def introduction(self) -> Introduction: ...

    def visit(self, visit: Visit) -> Visited: ...

    def products(self) -> dict[int, float]:
        """Seconds of one n x n matrix product, for a few n that are large enough to show what the machine can do."""
        ...
