"""One engine as it is measured, inside its own process."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlcli.batch_bench import memory
from mlcli.batch_bench.messages import Introduction, Visit, Visited
from mlcli.batch_bench.records import Phase
from mlcli.batch_bench.speed_probe import NoWaits, Waits, Witness
from mlcli.engines.contract import Bench
from mlcli.errors import OutOfMemoryError
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.metrics import log_loss
from mlcli.records import Scores
from mlcli.timing import Clock, RepeatedTiming, clock_resolution_seconds

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# So small that no weight moves: all steps do the same work, and nothing can diverge. Not zero, and far from the
# smallest floats, because arithmetic may be faster with the one and slower with the others.
_LEARNING_RATE = 1e-9
# After other work, a batch that takes less than this is repeated before it is measured again.
_REWARM_SECONDS = 0.005
_PRODUCT_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
_PRODUCT_SECONDS = 0.02
# The reference next to every sample: a product of matrices so small that they stay in the cache of a core. It takes all
# threads and some hundredths of a millisecond, so that it meets what the sample meets and costs little.
_REFERENCE_SIZE = 128


@dataclass(frozen=True)
class Placed:
    """What was built for the measurement."""

    bench: Bench
    n_samples: int
    fingerprint: str
    is_iterative: bool
    score: Callable[[], Scores]  # of the training samples, in order
    y: NDArray[np.int64]
    notes: tuple[str, ...] = ()


class MeasuredEngine:
    """Implements `Subject` in this process."""

    def __init__(self, placed: Placed, clock: Clock = time.perf_counter, waits: Waits | None = None) -> None:
        """waits: for cores, of the threads of this process; None where they wait for one another."""
        self._placed = placed
        self._bench = placed.bench
        self._clock = clock
        self._n_held = placed.n_samples
        self._timings: dict[tuple[Phase, int], RepeatedTiming] = {}
        self._positions: dict[int, int] = {}  # batches of each size that were cut so far
        self._products: dict[int, Callable[[], None]] = {}
        self._witness = Witness(self._bench.matrix_product(_REFERENCE_SIZE), clock, waits or NoWaits())
        self._scores: Scores | None = None

    def introduction(self) -> Introduction:
        placed = self._placed
        return Introduction(
            device=placed.bench.device,
            n_samples=placed.n_samples,
            fingerprint=placed.fingerprint,
            is_iterative=placed.is_iterative,
            clock_resolution_seconds=clock_resolution_seconds(self._clock),
            notes=placed.notes,
        )

    def visit(self, visit: Visit) -> Visited:
        """Measure; where memory runs out, give back what the attempt took and say so."""
        gc.collect()
        n_held = self._n_held
        try:
            with translated_memory_errors(batch_advice(None)):
                return self._measure(visit)
        except OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
        # Only here, where the error and with it the frames that hold tensors are gone.
        self._timings.pop((visit.phase, visit.batch_size), None)
        self._hold(n_held)
        self._bench.release_memory()
        return Visited(out_of_memory=reason)

    def _measure(self, visit: Visit) -> Visited:
        self._bench.start_memory_watch()
        can_watch = memory.start_memory_watch()
        self._hold(max(self._n_held, visit.batch_size))
        key = (visit.phase, visit.batch_size)
        is_first = key not in self._timings
        timing = self._timings.setdefault(key, self._new_timing(visit))
        n_before, warmup_before = len(timing.samples), timing.warmup_total_seconds
        if is_first:
            timing.warm_up(visit.warmup_seconds)
        else:
            timing.rewarm(_REWARM_SECONDS)
        timing.sample(visit.seconds, visit.most_samples)
        peak = self._bench.peak_memory_bytes()
        if peak is None and can_watch:
            peak = memory.peak_memory_bytes()
        return Visited(
            samples=tuple(timing.samples[n_before:]),
            references=tuple(timing.references[n_before:]),
            calls_per_sample=timing.calls_per_sample,
            warmup_seconds=timing.warmup_total_seconds - warmup_before,
            first_call_seconds=timing.first_call_seconds if is_first else None,
            loss=self._loss(visit.batch_size) if is_first else None,
            peak_memory_bytes=peak,
        )

    def _new_timing(self, visit: Visit) -> RepeatedTiming:
        def block(n_calls: int) -> float:
            batches = self._bench.batches(self._next_starts(visit.batch_size, n_calls), visit.batch_size)
            started = self._clock()
            if visit.phase == "train":
                self._bench.train(batches, _LEARNING_RATE)
            else:
                self._bench.forward(batches)
            return self._clock() - started

        return RepeatedTiming(block, self._bench.block_seconds[visit.phase], self._witness)

    def _next_starts(self, batch_size: int, n_batches: int) -> list[int]:
        """Where the next batches begin: through the data and over again, so that no batch is still in a cache."""
        n_positions = max(1, self._placed.n_samples // batch_size)
        first = self._positions.get(batch_size, 0)
        self._positions[batch_size] = first + n_batches
        return [position % n_positions * batch_size for position in range(first, first + n_batches)]

    def _hold(self, n_samples: int) -> None:
        if n_samples != self._n_held:
            self._bench.tile(n_samples)
            self._n_held = n_samples

    def _loss(self, batch_size: int) -> float | None:
        """The mean cross-entropy of the first batch of this size, tiled where it is larger than the data."""
        n_whole, n_rest = divmod(batch_size, self._placed.n_samples)
        total = 0.0
        # Not before it is asked for: scoring warms the process up, and the first call is to be a cold one.
        self._scores = self._scores or self._placed.score()
        for n_copies, n_samples in ((n_whole, self._placed.n_samples), (1, n_rest)):
            if n_copies and n_samples:
                loss = log_loss(_first(self._scores, n_samples), self._placed.y[:n_samples])
                if loss is None:
                    return None
                total += n_copies * n_samples * loss
        return total / batch_size

    def products(self) -> dict[int, float]:
        if not self._products:
            self._choose_products()
        return {n: self._seconds(multiply) for n, multiply in self._products.items()}

    def _choose_products(self) -> None:
        """The two largest sizes whose product takes no longer than a little; each is multiplied twice to warm up."""
        chosen: list[int] = []
        for n in _PRODUCT_SIZES:
            self._products[n] = self._bench.matrix_product(n)
            chosen.append(n)
            self._seconds(self._products[n])
            if self._seconds(self._products[n]) >= _PRODUCT_SECONDS:
                break
        self._products = {n: self._products[n] for n in chosen[-2:]}

    def _seconds(self, work: Callable[[], None]) -> float:
        started = self._clock()
        work()
        return self._clock() - started


def _first(scores: Scores, n: int) -> Scores:
    return Scores(
        labels=scores.labels[:n],
        logits=None if scores.logits is None else scores.logits[:n],
        probabilities=None if scores.probabilities is None else scores.probabilities[:n],
    )
