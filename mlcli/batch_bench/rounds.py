"""Round after round over sizes, engines and phases, until every median is known well enough or its time is up."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from mlcli.batch_bench.disturbance import (
    LEAST_SAMPLES,
    disturbed_marks,
    fastest_reference,
    least_disturbed,
)
from mlcli.batch_bench.messages import Subject, Visit, Visited
from mlcli.batch_bench.records import BenchSettings, Phase
from mlcli.batch_bench.sizes import is_worth_doubling
from mlcli.batch_bench.statistics import is_median_within, median

TOLERANCE = 0.02  # of the median, for both ends of its interval
_LEAST_VISITS = 6  # so that a figure is never of one moment
_VISITS = 12  # in which the most time is spent
_WARMUP_SHARE = 0.05  # of the most time
_OVERTIME = 4.0  # times the most time, for a few samples of what takes long or was disturbed
_ALL_TOGETHER = 1.15  # times the most time of all figures, while which disturbed figures may take overtime


class BenchObserver(Protocol):
    """Told how far a benchmark is; workflows themselves print nothing."""

    def on_stage(self, text: str) -> None:
        """A stage begins, e.g. "starting torch"."""
        ...

    def on_visit(self, text: str, n_done: int, n_figures: int) -> None:
        """A figure is about to be measured; n_done of n_figures need no more."""
        ...


@dataclass
class Cell:
    """One figure: a subject, a phase and a batch size, with what is known of it so far."""

    subject: int  # position among the subjects
    phase: Phase
    batch_size: int
    samples: list[float] = field(default_factory=list)
    references: list[float] = field(default_factory=list)  # one a sample
    sampled_seconds: float = 0.0  # without the first call, which may be a long compilation
    warmup_seconds: float = 0.0
    first_call_seconds: float | None = None
    calls_per_sample: int | None = None
    loss: float | None = None
    peak_memory_bytes: int | None = None
    out_of_memory: str | None = None
    n_visits: int = 0

    def add(self, visited: Visited) -> None:
        """What a visit brought."""
        self.n_visits += 1
        self.out_of_memory = visited.out_of_memory
        self.samples += visited.samples
        self.references += visited.references
        self.warmup_seconds += visited.warmup_seconds
        self.sampled_seconds += sum(visited.samples) * visited.calls_per_sample
        if self.first_call_seconds is None:
            self.first_call_seconds = visited.first_call_seconds
        if self.loss is None:
            self.loss = visited.loss
        if visited.out_of_memory is None:
            self.calls_per_sample = visited.calls_per_sample
        if self.peak_memory_bytes is None:  # later, the process may hold what larger sizes need
            self.peak_memory_bytes = visited.peak_memory_bytes

    def least_disturbed(self, fastest: float) -> list[float]:
        """The samples that figures are made of. fastest: reference of this subject."""
        return least_disturbed(self.samples, self.references, fastest)

    def is_done(self, settings: BenchSettings, fastest: float, *, has_overtime: bool) -> bool:
        """Whether no further visit is needed, or allowed. fastest: reference of this subject so far."""
        if self.out_of_memory is not None:
            return True
        if settings.repeats is not None:
            return len(self.samples) >= settings.repeats
        if self.sampled_seconds >= _OVERTIME * settings.max_seconds:
            return bool(self.samples)
        has_enough = len(self.samples) >= LEAST_SAMPLES
        if has_enough and self.sampled_seconds >= settings.max_seconds and not has_overtime:
            return True
        return self._is_known(settings, fastest)

    def _is_known(self, settings: BenchSettings, fastest: float) -> bool:
        """Whether the undisturbed samples alone are enough."""
        marks = disturbed_marks(self.references, fastest)
        undisturbed = [seconds for seconds, is_disturbed in zip(self.samples, marks, strict=True) if not is_disturbed]
        if len(undisturbed) < LEAST_SAMPLES:
            return False
        seconds = sum(undisturbed) * (self.calls_per_sample or 1)
        if seconds >= settings.max_seconds:
            return True
        is_sampled = self.n_visits >= _LEAST_VISITS and seconds >= settings.min_seconds
        return is_sampled and is_median_within(undisturbed, TOLERANCE)


class Rounds:
    """The first round meets the sizes in ascending order, so that the first calls are those of a fresh process; every
    later one in an order of its own, so that drift of the machine becomes no trend over sizes."""

    def __init__(
        self, subjects: Sequence[Subject], phases: Sequence[Sequence[Phase]], names: Sequence[str],
        settings: BenchSettings, observer: BenchObserver,
    ) -> None:  # fmt: skip
        """phases, names: of each subject."""
        self._subjects = subjects
        self._phases = phases
        self._names = names
        self._settings = settings
        self._observer = observer
        self.cells: list[Cell] = []
        self.products: list[dict[int, list[float]]] = [{} for _ in subjects]
        self.fastest = [0.0] * len(subjects)  # reference of each subject so far

    def run(self, sizes: Sequence[int] | None, n_samples: int) -> None:
        """Measure. sizes: None for doubling from 1 on; n_samples: of the data that batches are cut from."""
        for size in self._doubling(n_samples) if sizes is None else sizes:
            self._meet(size)
        self._multiply()
        n_round = 1
        while not all(self._are_done()):
            order = sorted({cell.batch_size for cell in self.cells})
            random.Random(n_round).shuffle(order)
            for size in order:
                for cell in self.cells:
                    if cell.batch_size == size and not self._is_done(cell):
                        self._visit(cell)
            self._multiply()
            n_round += 1

    def _meet(self, size: int) -> None:
        for subject, phases in enumerate(self._phases):
            for phase in phases:
                cell = Cell(subject, phase, size)
                self.cells.append(cell)
                self._visit(cell)

    def _visit(self, cell: Cell) -> None:
        settings = self._settings
        text = f"{self._names[cell.subject]} {cell.phase} {cell.batch_size:,}"
        n_done = sum(self._are_done())
        self._observer.on_visit(text, n_done, len(self.cells))
        left = None
        if settings.repeats is not None:
            left = min(math.ceil(settings.repeats / _LEAST_VISITS), settings.repeats - len(cell.samples))
        visit = Visit(
            phase=cell.phase,
            batch_size=cell.batch_size,
            seconds=math.inf if left else settings.max_seconds / _VISITS,
            most_samples=left,
            warmup_seconds=_WARMUP_SHARE * settings.max_seconds,
        )
        cell.add(self._subjects[cell.subject].visit(visit))
        self.fastest[cell.subject] = self._fastest_reference(cell.subject)

    def _fastest_reference(self, subject: int) -> float:
        return fastest_reference(
            seconds for cell in self.cells if cell.subject == subject for seconds in cell.references
        )

    def _are_done(self) -> list[bool]:
        return [self._is_done(cell) for cell in self.cells]

    def _is_done(self, cell: Cell) -> bool:
        most_seconds = _ALL_TOGETHER * self._settings.max_seconds * len(self.cells)
        has_overtime = sum(other.sampled_seconds for other in self.cells) < most_seconds
        return cell.is_done(self._settings, self.fastest[cell.subject], has_overtime=has_overtime)

    def _multiply(self) -> None:
        """Matrix products of every subject, in every round, because the peak drifts with the machine too."""
        for subject, products in zip(self._subjects, self.products, strict=True):
            for n, seconds in subject.products().items():
                products.setdefault(n, []).append(seconds)

    def _doubling(self, n_samples: int) -> Iterator[int]:
        """1, 2, 4 ... while memory, the data (unless tiled) and the throughput of any series allow."""
        size = 1
        while size <= n_samples or self._settings.tile:
            yield size
            series = self._series_so_far()
            if not any(is_worth_doubling(throughputs) for throughputs in series):
                return
            size *= 2

    def _series_so_far(self) -> list[list[float]]:
        """Samples/s by size for each subject and phase that has not run out of memory."""
        found = []
        for subject, phases in enumerate(self._phases):
            for phase in phases:
                cells = [cell for cell in self.cells if (cell.subject, cell.phase) == (subject, phase)]
                if all(cell.out_of_memory is None for cell in cells):
                    found.append(
                        [cell.batch_size / median(cell.least_disturbed(self.fastest[subject])) for cell in cells]
                    )
        return found
