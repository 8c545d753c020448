"""Measuring one engine, inside its worker."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlcli.batch_bench import machine
from mlcli.batch_bench.records import MeasurementRequest, MeasurementResult, Phase, WorkerHello, WorkerSpec
from mlcli.batch_bench.sampling import RepeatedTiming, SpeedProbe
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Bench, Engine, EngineSpec, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import OutOfMemoryError
from mlcli.experiment.initial_weights import drawn_weights
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.experiment.plan import engine_spec
from mlcli.experiment.stored_run import StoredRun, open_run
from mlcli.metrics.scores import log_loss
from mlcli.models.layers import Network
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
    dataset = _dataset(spec, stored)
    engine, notes = _engine(spec, dataset, stored)
    bench = engine.bench(dataset.train.x, dataset.train.y, include_transfer=spec.include_transfer)
    return PreparedEngine(engine, bench, dataset, (*dataset.notes, *notes))


def _dataset(spec: WorkerSpec, stored: StoredRun | None) -> Dataset:
    if stored is not None:
        return stored.load_dataset(data_directory=spec.data_directory, offline=spec.offline)
    return load_dataset(spec.plan.config.dataset, data_dir=spec.data_directory, offline=spec.offline)


def _engine(spec: WorkerSpec, dataset: Dataset, stored: StoredRun | None) -> tuple[Engine, tuple[str, ...]]:
    """Return the engine with the weights of a run or initial ones, and notes."""
    plan = spec.plan
    if plan.network is not None:
        weights = drawn_weights(plan) if stored is None else _weights_for(plan.network, stored)
        return build_engine(plan.backend, _engine_spec(spec, dataset), weights), ()
    if stored is not None:
        return stored.build_engine(plan.backend, device=plan.config.runtime.device, threads=spec.threads), ()
    engine = build_engine(plan.backend, _engine_spec(spec, dataset), None)
    engine.place(dataset.train.x, dataset.train.y)
    engine.fit()
    return engine, (f"fitted on {len(dataset.train):,} samples before the measurement",)


def _weights_for(network: Network, stored: StoredRun) -> Weights:
    """Return the weights of a run under the names of a network, whose layers without weights may differ."""
    return dict(zip(network.parameter_shapes(), stored.weights().values(), strict=True))


def _engine_spec(spec: WorkerSpec, dataset: Dataset) -> EngineSpec:
    base = engine_spec(spec.plan, dataset, spec.threads)
    return replace(base, runtime=replace(base.runtime, matmul_precision=spec.matmul_precision, compiled=spec.compiled))


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

    def hello(self) -> WorkerHello:
        """Return what the parent needs to know before the first request."""
        return WorkerHello(
            device=self._bench.device,
            n_samples=len(self._prepared.dataset.train),
            fingerprint=self._prepared.dataset.fingerprint,
            notes=self._prepared.notes,
        )

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
        can_watch = machine.start_memory_watch()
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
            peak = machine.peak_memory_bytes()
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
        return log_loss(_first(self._scores, batch_size), train.y[:batch_size])

    def matrix_products(self) -> dict[int, float]:
        """Return the seconds of one n x n matrix product for a few n that are large enough to reach peak speed."""
        if not self._products:
            self._choose_products()
        return {n: self._seconds(multiply) for n, multiply in self._products.items()}

    def _choose_products(self) -> None:
        """Choose the two largest sizes that are not too slow; each product runs twice to warm up."""
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
