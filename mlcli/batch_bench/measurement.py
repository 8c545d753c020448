"""Measuring one engine, inside its worker: repeated timing with a speed probe next to every sample."""

from __future__ import annotations

import gc
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from mlcli.batch_bench.machine import start_memory_watch
from mlcli.batch_bench.records import BenchEngine, MeasurementRequest, MeasurementResult, Phase, WorkerHello, WorkerSpec
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Bench, Engine
from mlcli.engines.registry import build_engine
from mlcli.errors import OutOfMemoryError, batch_advice, translated_memory_errors
from mlcli.experiment.environment import peak_memory_bytes
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import engine_spec
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.metrics.scores import log_loss
from mlcli.records import Dataset, Scores
from mlcli.runs.directory import RunDirectory
from mlcli.timing import Clock

# So small that no weight moves: all steps do the same work, and nothing can diverge. Neither zero nor near the smallest
# floats, because arithmetic may be faster with the one and slower with the others.
_LEARNING_RATE = 1e-9
# After other work, a batch that takes less than this is repeated before it is measured again.
_REWARM_SECONDS = 0.005
_PRODUCT_SIZES = (512, 1024, 2048, 4096, 8192, 16384)
_PRODUCT_SECONDS = 0.02
# The speed probe is a product of matrices so small that they stay in the cache of a core. It takes all threads and some
# hundredths of a millisecond: it is disturbed by what disturbs the sample, and costs little.
_PROBE_SIZE = 128
# It is the fastest of a few calls, because the first one finds the cache full of other data; one slow call is enough.
_PROBE_CALLS = 4
_PROBE_SECONDS = 0.002
_SCORING_SIZE = 128  # samples at once for the loss: few, so that it hardly needs memory


@dataclass(frozen=True)
class PreparedEngine:
    """An engine with its samples, ready to be measured."""

    engine: Engine
    bench: Bench
    dataset: Dataset
    notes: tuple[str, ...] = ()


def prepare(spec: WorkerSpec) -> PreparedEngine:
    """Read the data, build the engine and give it the samples. Raises the errors of errors.py."""
    stored = open_run(RunDirectory(spec.run)) if spec.run else None
    if stored is None:
        dataset = load_dataset(spec.plan.config.dataset, data_dir=spec.data_directory, offline=spec.offline)
    else:
        dataset = stored.load_dataset(data_directory=spec.data_directory, offline=spec.offline)
    engine, notes = _engine(spec, dataset, stored)
    bench = engine.bench(dataset.train.x, dataset.train.y, include_transfer=spec.include_transfer)
    return PreparedEngine(engine, bench, dataset, (*dataset.notes, *notes))


def _engine(spec: WorkerSpec, dataset: Dataset, stored: StoredRun | None) -> tuple[Engine, tuple[str, ...]]:
    """Return the engine with the weights of a run or initial ones, and notes."""
    plan = spec.plan
    if stored is not None and plan.network is None:
        return stored.build_engine(plan.backend, device=plan.config.runtime.device, threads=spec.threads), ()
    base = engine_spec(plan, dataset, spec.threads)
    runtime = replace(base.runtime, matmul_precision=spec.matmul_precision, compiled=spec.compiled)
    build = partial(build_engine, plan.backend, replace(base, runtime=runtime))
    if plan.network is None:
        engine = build(None)
        engine.place(dataset.train.x, dataset.train.y)
        engine.fit()
        return engine, (f"fitted on {len(dataset.train):,} samples before the measurement",)
    if stored is None:
        return build(initial_weights(plan)), ()
    # Under the names of the network, whose layers without weights may differ from those of the run.
    return build(dict(zip(plan.network.parameter_shapes(), stored.weights().values(), strict=True))), ()


def _timed(work: Callable[[], None], clock: Clock) -> float:
    started = clock()
    work()
    return clock() - started


class SpeedProbe:
    """Times a fixed piece of work before and after every sample."""

    def __init__(self, work: Callable[[], None], clock: Clock) -> None:
        """work: takes a few hundredths of a millisecond and as many threads as the samples."""
        self._work = work
        self._clock = clock
        self._before = 0.0

    def begin(self) -> None:
        """Run the probe before a sequence of samples."""
        self._before = self._seconds()

    def end(self) -> float:
        """Return the slower of the probes before and after the sample that has just ended, in seconds."""
        before, self._before = self._before, self._seconds()
        return max(before, self._before)

    def _seconds(self) -> float:
        seconds = [_timed(self._work, self._clock)]
        while len(seconds) < _PROBE_CALLS and sum(seconds) < _PROBE_SECONDS:
            seconds.append(_timed(self._work, self._clock))
        return min(seconds)


class RepeatedTiming:
    """Times one piece of work: a first call, a warm-up until the times are stable, then samples.

    A sample is the mean over calls_per_sample consecutive calls, enough to last block_seconds, so that the fixed cost
    of a block, reading the clock included, has little weight. All times are seconds per call in the order in which
    they were taken.
    """

    def __init__(self, block: Callable[[int], float], block_seconds: float, probe: SpeedProbe) -> None:
        """block: does the work n times and returns the seconds. probe: is timed next to every sample."""
        self._block = block
        self._block_seconds = block_seconds
        self._probe = probe
        self.first_call_seconds: float | None = None
        self.calls_per_sample = 1
        self.warmup_seconds = 0.0
        self.samples: list[float] = []
        self.probes: list[float] = []  # one per sample

    def warm_up(self, max_seconds: float) -> None:
        """Make the first call, find calls_per_sample, and repeat until the times are stable.

        Stable means that three blocks in a row differ by less than 5 %; the warm-up also ends after max_seconds. If a
        single call takes longer than that, the second call is already the first sample.
        """
        self.first_call_seconds = self._block(1)
        recent: list[float] = []
        while len(recent) < 3 or max(recent[-3:]) > 1.05 * min(recent[-3:]):
            self._probe.begin()
            seconds = self._block(self.calls_per_sample)
            if self.calls_per_sample == 1 and seconds >= max(max_seconds, self._block_seconds):
                self._keep(seconds)
                return
            self.warmup_seconds += seconds
            recent.append(seconds)
            if seconds < self._block_seconds:
                self._lengthen(seconds)
                recent.clear()
            elif self.warmup_seconds >= max_seconds:
                return

    def rewarm(self, max_seconds: float) -> None:
        """Repeat the work after other work, for at most one sample and max_seconds; longer calls are not repeated."""
        last = self.samples[-1] if self.samples else math.inf
        n_calls = min(self.calls_per_sample, int(max_seconds / last)) if last else self.calls_per_sample
        if n_calls:
            self.warmup_seconds += self._block(n_calls)

    def sample(self, seconds: float, max_samples: int | None = None) -> None:
        """Take samples, at least one, for this many seconds and at most max_samples."""
        total, n_taken = 0.0, 0
        self._probe.begin()
        while not n_taken or (total < seconds and (max_samples is None or n_taken < max_samples)):
            taken = self._block(self.calls_per_sample)
            self._keep(taken)
            total, n_taken = total + taken, n_taken + 1

    def _keep(self, seconds: float) -> None:
        """Keep a sample. seconds: of all its calls."""
        self.probes.append(self._probe.end())
        self.samples.append(seconds / self.calls_per_sample)

    def _lengthen(self, seconds: float) -> None:
        """Raise calls_per_sample after a block of `seconds`: to 1.2 block_seconds, at most tenfold."""
        factor = min(1.2 * self._block_seconds / seconds, 10.0) if seconds > 0 else 10.0
        self.calls_per_sample = max(self.calls_per_sample + 1, math.ceil(self.calls_per_sample * factor))


class MeasuredEngine:
    """Measures an engine in this process."""

    def __init__(self, prepared: PreparedEngine, clock: Clock = time.perf_counter) -> None:
        self._prepared = prepared
        self._bench = prepared.bench
        self._clock = clock
        self._timings: dict[tuple[Phase, int], RepeatedTiming] = {}
        self._n_batches: dict[int, int] = {}  # cut so far, by batch size
        self._products: dict[int, Callable[[], None]] = {}
        self._scores: Scores | None = None
        self._probe = SpeedProbe(self._bench.matrix_product(_PROBE_SIZE), clock)

    def hello(self, spec: WorkerSpec) -> WorkerHello:
        """Return what the parent needs to know before the first request."""
        engine = BenchEngine(
            backend=spec.plan.backend,
            threads=spec.threads,
            device=self._bench.device,
            n_samples=len(self._prepared.dataset.train),
            clock_resolution_seconds=time.get_clock_info("perf_counter").resolution,
            waiting="sleep" if os.environ.get("OMP_WAIT_POLICY", "").lower() == "passive" else "spin",
            notes=self._prepared.notes,
        )
        return WorkerHello(engine, self._prepared.dataset.fingerprint)

    def measure(self, request: MeasurementRequest) -> MeasurementResult:
        """Measure one phase and batch size; if memory runs out, free what the attempt took and report it."""
        gc.collect()
        try:
            with translated_memory_errors(batch_advice(None)):
                return self._measure(request)
        except OutOfMemoryError as error:
            reason = str(error).splitlines()[0]
        # Only here, where the error and with it the frames that hold tensors are gone.
        self._timings.pop((request.phase, request.batch_size), None)
        self._bench.release_memory()
        return MeasurementResult(out_of_memory=reason)

    def _measure(self, request: MeasurementRequest) -> MeasurementResult:
        self._bench.start_memory_watch()
        can_watch = start_memory_watch()
        key = (request.phase, request.batch_size)
        is_first = key not in self._timings
        timing = self._timings.setdefault(key, self._new_timing(request))
        n_before, warmup_before = len(timing.samples), timing.warmup_seconds
        if is_first:
            timing.warm_up(request.warmup_seconds)
        else:
            timing.rewarm(_REWARM_SECONDS)
        timing.sample(request.seconds, request.max_samples)
        peak = self._bench.peak_memory_bytes()
        if peak is None and can_watch:
            peak = peak_memory_bytes()
        return MeasurementResult(
            samples=tuple(timing.samples[n_before:]),
            probes=tuple(timing.probes[n_before:]),
            calls_per_sample=timing.calls_per_sample,
            warmup_seconds=timing.warmup_seconds - warmup_before,
            first_call_seconds=timing.first_call_seconds if is_first else None,
            # Not earlier: scoring warms the process up, and the first call must be a cold one.
            loss=self._loss(request.batch_size) if is_first else None,
            peak_memory_bytes=peak,
        )

    def _new_timing(self, request: MeasurementRequest) -> RepeatedTiming:
        def block(n_calls: int) -> float:
            batches = self._bench.batches(self._next_starts(request.batch_size, n_calls), request.batch_size)
            started = self._clock()
            if request.phase == "train":
                self._bench.train(batches, _LEARNING_RATE)
            else:
                self._bench.forward(batches)
            return self._clock() - started

        return RepeatedTiming(block, self._bench.block_seconds[request.phase], self._probe)

    def _next_starts(self, batch_size: int, n_batches: int) -> list[int]:
        """Return where the next batches begin: they rotate through the data, so that no batch is still in a cache."""
        n_positions = len(self._prepared.dataset.train) // batch_size
        first = self._n_batches.get(batch_size, 0)
        self._n_batches[batch_size] = first + n_batches
        return [position % n_positions * batch_size for position in range(first, first + n_batches)]

    def _loss(self, batch_size: int) -> float | None:
        """Return the mean cross-entropy of the first batch of this size; None for an engine without probabilities."""
        train = self._prepared.dataset.train
        if self._scores is None:  # all at once, before any training step moves a weight in its last digits
            self._scores = self._prepared.engine.predict(train.x, batch_size=_SCORING_SIZE)
        labels, logits, probabilities = self._scores.labels, self._scores.logits, self._scores.probabilities
        first = Scores(
            labels[:batch_size],
            None if logits is None else logits[:batch_size],
            None if probabilities is None else probabilities[:batch_size],
        )
        return log_loss(first, train.y[:batch_size])

    def matrix_products(self) -> dict[int, float]:
        """Return the seconds of one n x n matrix product for a few n that are large enough to reach peak speed."""
        if not self._products:
            self._choose_products()
        return {n: _timed(multiply, self._clock) for n, multiply in self._products.items()}

    def _choose_products(self) -> None:
        """Choose the two largest sizes that are not too slow; each product runs twice to warm up."""
        for n in _PRODUCT_SIZES:
            multiply = self._products[n] = self._bench.matrix_product(n)
            multiply()
            if _timed(multiply, self._clock) >= _PRODUCT_SECONDS:
                break
        self._products = dict(list(self._products.items())[-2:])
