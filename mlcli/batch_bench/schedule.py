"""Which batch size is measured when: interleaved rounds over all sizes, engines and phases."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from mlcli.batch_bench.progress import BenchProgress
from mlcli.batch_bench.records import BenchSettings, MeasurementRequest, Phase
from mlcli.batch_bench.statistics import MIN_ROUNDS, Measurements, fastest_probe_of
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


@dataclass(frozen=True)
class ScheduledEngine:
    """A worker, the name of its engine in progress messages, and the phases that the engine has."""

    worker: Worker
    name: str
    phases: tuple[Phase, ...]


class Schedule:
    """Measures in rounds until every median is known or its time is up.

    The first round takes the sizes in ascending order, so that first calls are those of a fresh process. Every later
    round has its own random order, so that drift of the machine does not look like a trend over sizes.
    """

    def __init__(self, engines: Sequence[ScheduledEngine], settings: BenchSettings, progress: BenchProgress) -> None:
        self._engines = engines
        self._settings = settings
        self._progress = progress
        self.measurements: list[Measurements] = []
        self.products: list[dict[int, list[float]]] = [{} for _ in engines]  # n -> seconds, for each engine
        self.fastest_probes = [0.0] * len(engines)  # so far, for each engine

    def run(self, sizes: Sequence[int] | None, n_samples: int) -> None:
        """Measure all sizes; None doubles from 1 on. n_samples: in the data that batches are cut from."""
        for size in self._doubling(n_samples) if sizes is None else sizes:
            self._measure_first(size)
        self._multiply_matrices()
        n_round = 1
        while not all(self._are_done()):
            order = sorted({one.batch_size for one in self.measurements})
            random.Random(n_round).shuffle(order)
            for size in order:
                for one in self.measurements:
                    if one.batch_size == size and not self._is_done(one):
                        self._measure(one)
            self._multiply_matrices()
            n_round += 1

    @property
    def measured_seconds(self) -> float:
        """Seconds of all first calls, samples and matrix products."""
        in_products = sum(sum(seconds) for products in self.products for seconds in products.values())
        return in_products + sum(one.sampled_seconds + (one.first_call_seconds or 0.0) for one in self.measurements)

    def _measure_first(self, size: int) -> None:
        for engine, scheduled in enumerate(self._engines):
            for phase in scheduled.phases:
                self.measurements.append(Measurements(engine, phase, size))
                self._measure(self.measurements[-1])

    def _measure(self, measurements: Measurements) -> None:
        settings, scheduled = self._settings, self._engines[measurements.engine]
        text = f"{scheduled.name} {measurements.phase} {measurements.batch_size:,}"
        self._progress.on_measurement(text, sum(self._are_done()), len(self.measurements))
        max_samples = None
        if settings.repeats is not None:
            n_missing = settings.repeats - len(measurements.samples)
            max_samples = min(math.ceil(settings.repeats / MIN_ROUNDS), n_missing)
        request = MeasurementRequest(
            phase=measurements.phase,
            batch_size=measurements.batch_size,
            seconds=math.inf if max_samples else settings.max_seconds / _ROUNDS,
            max_samples=max_samples,
            warmup_seconds=_WARMUP_FRACTION * settings.max_seconds,
        )
        measurements.add(scheduled.worker.measure(request))
        self.fastest_probes[measurements.engine] = fastest_probe_of(self.measurements, measurements.engine)

    def _are_done(self) -> list[bool]:
        return [self._is_done(one) for one in self.measurements]

    def _is_done(self, measurements: Measurements) -> bool:
        return measurements.is_done(self._settings, self.fastest_probes[measurements.engine])

    def _multiply_matrices(self) -> None:
        """Time matrix products of every engine in every round, because the peak drifts with the machine too."""
        for scheduled, products in zip(self._engines, self.products, strict=True):
            for n, seconds in scheduled.worker.matrix_products().items():
                products.setdefault(n, []).append(seconds)

    def _doubling(self, n_samples: int) -> Iterator[int]:
        """Yield 1, 2, 4 ... while memory, the data and the throughput of any series allow."""
        size = 1
        while size <= n_samples:
            yield size
            if not any(map(is_worth_doubling, self._throughputs())):
                return
            size *= 2

    def _throughputs(self) -> list[list[float]]:
        """Return samples/s by size for each engine and phase that has not run out of memory."""
        found = []
        for engine, scheduled in enumerate(self._engines):
            for phase in scheduled.phases:
                group = [one for one in self.measurements if (one.engine, one.phase) == (engine, phase)]
                if all(one.out_of_memory is None for one in group):
                    fastest = self.fastest_probes[engine]
                    found.append([one.batch_size / median(one.least_disturbed(fastest)) for one in group])
        return found
