"""The benchmark: workers started, the schedule run, statistics and advice derived."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial

from mlcli.batch_bench.advice import advise, warnings_about
from mlcli.batch_bench.machine import BackgroundLoad, current_busy_cores
from mlcli.batch_bench.records import BatchBenchRecord, BenchSeries, BenchTiming, Phase, WorkerSpec
from mlcli.batch_bench.report import BenchProgress
from mlcli.batch_bench.schedule import Schedule, ScheduledEngine, fitting_sizes
from mlcli.batch_bench.source import BenchTask
from mlcli.batch_bench.statistics import add_statistics
from mlcli.batch_bench.worker import Worker
from mlcli.engines.contract import EngineRuntime
from mlcli.engines.registry import check_runtime
from mlcli.errors import UsageError
from mlcli.experiment.environment import describe_environment
from mlcli.experiment.plan import Plan
from mlcli.experiment.threads import available_cores, is_busy, thread_environment
from mlcli.registry import backend_info

# If others have kept this many cores busy for a minute, idle threads sleep: spinning, they would take turns with the
# other processes. Sleeping slows small batches much, so a moment of load must not decide it.
_BUSY_CORES = 0.75


def run_benchmark(task: BenchTask, progress: BenchProgress) -> BatchBenchRecord:
    """Measure every engine, thread count, phase and batch size of a task.

    Raises UsageError, before anything is measured, for what an engine cannot do and for sizes that the data cannot
    fill, and the errors of errors.py if the data or an engine cannot be loaded.
    """
    _check(task)
    begin = time.perf_counter()
    with ExitStack() as stack:
        engines = _start_workers(task, progress, stack)
        startup_seconds = time.perf_counter() - begin
        load = BackgroundLoad([one.worker.cpu_seconds for one in engines])
        sizes = _sizes(task, min(one.engine.n_samples for one in engines))
        Schedule(engines, task.settings, progress).run(sizes)
        busy_cores = load.busy_cores()
        wall_seconds = time.perf_counter() - begin
    return _record(task, engines, _timing(engines, wall_seconds, startup_seconds), busy_cores)


def _timing(engines: Sequence[ScheduledEngine], wall_seconds: float, startup_seconds: float) -> BenchTiming:
    series = [series for one in engines for series in one.series]
    measured = sum(sum(seconds) for one in engines for seconds in one.engine.matrix_products.values())
    measured += sum(one.sampled_seconds + (one.first_call_seconds or 0.0) for one in series)
    warmup = sum(one.warmup_seconds for one in series)
    after_startup = wall_seconds - startup_seconds
    return BenchTiming(
        wall_seconds=wall_seconds,
        startup_seconds=startup_seconds,
        measured_seconds=measured,
        warmup_seconds=warmup,
        harness_seconds=after_startup - measured - warmup,
        unmeasured_fraction=(after_startup - measured) / after_startup,
    )


def _check(task: BenchTask) -> None:
    settings = task.settings
    runtime = EngineRuntime(matmul_precision=settings.matmul_precision, compiled=settings.compiled)
    for backend, plan in task.plans.items():
        check_runtime(backend, runtime)
        n_at_most = min(plan.info.n_train or math.inf, plan.config.dataset.limit or math.inf)
        if math.isfinite(n_at_most):
            _sizes(task, int(n_at_most))
    if settings.phases == ("train",) and not any(plan.is_iterative for plan in task.plans.values()):
        raise UsageError(f"--phase train: {_why_not_trained(next(iter(task.plans.values())))}; use --phase forward")


def _sizes(task: BenchTask, n_samples: int) -> tuple[int, ...] | None:
    if task.settings.sizes is None:
        return None
    return fitting_sizes(task.settings.sizes, n_samples, is_default=task.request.sizes is None)


def _why_not_trained(plan: Plan) -> str:
    title, model = backend_info(plan.backend).title, plan.config.model.name
    return f"{title} fits {model} in a single fit, so it has no training step"


def _start_workers(task: BenchTask, progress: BenchProgress, stack: ExitStack) -> list[ScheduledEngine]:
    """Start all workers, then wait until each is ready."""
    must_sleep = is_busy() and current_busy_cores() >= _BUSY_CORES
    workers = []
    for backend, plan in task.plans.items():
        for threads in task.settings.threads:
            progress.on_stage(f"starting {backend}, threads: {threads}")
            environment = thread_environment(threads, sleep=threads > 1 and must_sleep)
            workers.append(stack.enter_context(Worker(_spec(task, plan, threads), environment)))
    return [_wait_for(worker, task.settings.phases) for worker in workers]


def _spec(task: BenchTask, plan: Plan, threads: int) -> WorkerSpec:
    return WorkerSpec(
        plan=plan,
        run=task.run.resolve() if task.run else None,
        threads=threads,
        matmul_precision=task.settings.matmul_precision,
        compiled=task.settings.compiled,
        include_transfer=task.settings.include_transfer,
        data_directory=task.request.data_dir,
        offline=task.request.offline,
    )


def _wait_for(worker: Worker, phases: Sequence[Phase]) -> ScheduledEngine:
    hello = worker.hello()
    hello.engine.startup_seconds = time.perf_counter() - worker.started
    phases = tuple(phase for phase in phases if phase == "forward" or worker.spec.plan.is_iterative)
    return ScheduledEngine(worker, hello.engine, phases, hello.fingerprint)


def _record(
    task: BenchTask, scheduled: Sequence[ScheduledEngine], timing: BenchTiming, busy_cores: float
) -> BatchBenchRecord:
    plan, settings = scheduled[0].worker.spec.plan, task.settings
    engines = tuple(one.engine for one in scheduled)
    series = _series(task, scheduled)
    n_samples = min(engine.n_samples for engine in engines)
    return BatchBenchRecord(
        experiment=plan.config.name or "",
        dataset=plan.config.dataset.label,
        model=plan.config.model.name,
        n_parameters=plan.network.n_parameters if plan.network else None,
        settings=settings,
        engines=engines,
        series=series,
        advice=advise(series, n_samples, plan.config.training.batch_size, task.train_command),
        warnings=warnings_about(
            series, engines, max_seconds=settings.max_seconds, n_cores=available_cores(), busy_cores=busy_cores
        ),
        timing=timing,
        environment=describe_environment(
            device=engines[0].device, threads=engines[0].threads, fingerprint=scheduled[0].fingerprint
        ),
        busy_cores=busy_cores,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _series(task: BenchTask, engines: Sequence[ScheduledEngine]) -> tuple[BenchSeries, ...]:
    """Return the series of all engines with their statistics, then a row for each training step that does not exist."""
    found: list[BenchSeries] = []
    for one in engines:
        add_statistics(one.series, one.engine, one.worker.spec.plan.network)
        found += sorted(one.series, key=lambda series: (series.phase, series.batch_size))
    steps = {series.batch_size: (series.steps_per_epoch, series.last_batch_size) for series in found}
    for one in engines:
        if "train" in task.settings.phases and "train" not in one.phases:
            series = partial(BenchSeries, one.engine.backend, one.engine.threads, "train")
            reason = _why_not_trained(one.worker.spec.plan)
            found += [series(size, *steps[size], "not applicable", reason) for size in sorted(steps)]
    return tuple(found)
