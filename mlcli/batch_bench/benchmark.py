"""The benchmark: workers started, the schedule run, statistics and advice derived."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Literal

from mlcli.batch_bench.advice import advise, warnings_about
from mlcli.batch_bench.records import BatchBenchRecord, BenchEngine, BenchSeries, BenchTiming, Phase
from mlcli.batch_bench.schedule import Progress, Schedule, ScheduledEngine, fitting_sizes
from mlcli.batch_bench.series import epoch_steps, series_of, with_speedups
from mlcli.batch_bench.source import BenchTask
from mlcli.batch_bench.speed_probe import BackgroundLoad, current_busy_cores
from mlcli.batch_bench.worker import Worker, WorkerHello, WorkerSpec
from mlcli.engines.contract import EngineRuntime
from mlcli.engines.registry import check_runtime
from mlcli.errors import UsageError
from mlcli.experiment.environment import describe_environment
from mlcli.experiment.plan import Plan
from mlcli.experiment.threads import available_cores, is_busy, thread_environment
from mlcli.registry import backend_info
from mlcli.runs.directory import utc_now

# If others have kept this many cores busy for a minute, idle threads sleep: spinning, they would take turns with the
# other processes. Sleeping slows small batches much, so a moment of load must not decide it.
_BUSY_CORES = 0.75


@dataclass(frozen=True)
class _Measured:
    """An engine and thread count with its worker and what that reported at the start."""

    plan: Plan
    threads: int
    worker: Worker
    hello: WorkerHello
    startup_seconds: float


def run_benchmark(task: BenchTask, progress: Progress) -> BatchBenchRecord:
    """Measure every engine, thread count, phase and batch size of a task.

    Raises UsageError, before anything is measured, for what an engine cannot do and for sizes that the data cannot
    fill, and the errors of errors.py if the data or an engine cannot be loaded.
    """
    _check(task)
    started = time.perf_counter()
    with ExitStack() as stack:
        measured = _start_workers(task, progress, stack)
        startup_seconds = time.perf_counter() - started
        load = BackgroundLoad([one.worker.cpu_seconds for one in measured])
        schedule = Schedule([_scheduled(task, one) for one in measured], task.settings, progress)
        n_samples = min(one.hello.n_samples for one in measured)
        schedule.run(_sizes(task, n_samples), n_samples)
        busy_cores = load.busy_cores()
        wall_seconds = time.perf_counter() - started
    timing = BenchTiming(
        wall_seconds=wall_seconds,
        startup_seconds=startup_seconds,
        measured_seconds=schedule.measured_seconds,
        warmup_seconds=sum(one.warmup_seconds for one in schedule.measurements),
    )
    return _record(task, measured, schedule, timing, busy_cores)


def _check(task: BenchTask) -> None:
    settings = task.settings
    for backend, plan in task.plans.items():
        check_runtime(backend, _runtime(task, plan, threads=1))
        n_at_most = min(plan.info.n_train or math.inf, plan.config.dataset.limit or math.inf)
        if math.isfinite(n_at_most):
            _sizes(task, int(n_at_most))
    if settings.phases == ("train",) and not any(plan.is_iterative for plan in task.plans.values()):
        raise UsageError(f"--phase train: {_why_not_trained(next(iter(task.plans.values())))}; use --phase forward")


def _sizes(task: BenchTask, n_samples: int) -> tuple[int, ...] | None:
    if task.settings.sizes is None:
        return None
    return fitting_sizes(task.settings.sizes, n_samples, is_default=task.has_default_sizes)


def _runtime(task: BenchTask, plan: Plan, threads: int) -> EngineRuntime:
    precision = task.settings.precision
    return EngineRuntime(
        device=plan.config.runtime.device,
        threads=threads,
        precision=plan.config.runtime.precision,
        matmul_precision=precision if precision in ("tf32", "bf16") else None,
        compiled=task.settings.compiled,
    )


def _why_not_trained(plan: Plan) -> str:
    title, model = backend_info(plan.backend).title, plan.config.model.name
    return f"{title} fits {model} in a single fit, so it has no training step"


def _start_workers(task: BenchTask, progress: Progress, stack: ExitStack) -> list[_Measured]:
    """Start all workers, then wait until each is ready."""
    must_sleep = is_busy() and current_busy_cores() >= _BUSY_CORES
    started = []
    for backend, plan in task.plans.items():
        for threads in task.settings.threads:
            progress.on_stage(f"starting {backend}, threads: {threads}")
            environment = thread_environment(threads, sleep=threads > 1 and must_sleep)
            worker = stack.enter_context(Worker(_spec(task, plan, threads), environment))
            started.append((plan, threads, worker))
    measured = []
    for plan, threads, worker in started:
        hello = worker.hello()
        measured.append(_Measured(plan, threads, worker, hello, time.perf_counter() - worker.started))
    return measured


def _spec(task: BenchTask, plan: Plan, threads: int) -> WorkerSpec:
    return WorkerSpec(
        plan=plan,
        run=task.run.resolve() if task.run else None,
        threads=threads,
        matmul_precision=_runtime(task, plan, threads).matmul_precision,
        compiled=task.settings.compiled,
        include_transfer=task.settings.include_transfer,
        data_directory=task.data_directory,
        offline=task.offline,
    )


def _scheduled(task: BenchTask, measured: _Measured) -> ScheduledEngine:
    phases = tuple(phase for phase in task.settings.phases if phase == "forward" or measured.plan.is_iterative)
    return ScheduledEngine(measured.worker, f"{measured.plan.backend}, threads: {measured.threads},", phases)


def _engine(measured: _Measured, products: dict[int, list[float]], fastest_probe: float) -> BenchEngine:
    policy = measured.worker.environment.get("OMP_WAIT_POLICY", os.environ.get("OMP_WAIT_POLICY", ""))
    waiting: Literal["spin", "sleep"] = "sleep" if policy.lower() == "passive" else "spin"
    return BenchEngine(
        backend=measured.plan.backend,
        threads=measured.threads,
        device=measured.hello.device,
        n_samples=measured.hello.n_samples,
        startup_seconds=measured.startup_seconds,
        clock_resolution_seconds=measured.hello.clock_resolution_seconds,
        matrix_products={n: tuple(seconds) for n, seconds in products.items()},
        waiting=waiting,
        notes=measured.hello.notes,
        fastest_probe_seconds=fastest_probe,
    )


def _record(
    task: BenchTask, measured: Sequence[_Measured], schedule: Schedule, timing: BenchTiming, busy_cores: float
) -> BatchBenchRecord:
    first = measured[0]
    plan, settings = first.plan, task.settings
    n_samples = min(one.hello.n_samples for one in measured)
    engines = tuple(map(_engine, measured, schedule.products, schedule.fastest_probes))
    series = _series(task, measured, schedule, engines, n_samples)
    return BatchBenchRecord(
        experiment=plan.config.name or "",
        dataset=plan.config.dataset.name,
        model=plan.config.model.name,
        n_parameters=plan.network.n_parameters if plan.network else None,
        settings=settings,
        engines=engines,
        series=series,
        advice=advise(series, n_samples, plan.config.training.batch_size, task.command),
        warnings=warnings_about(series, engines, settings, n_cores=available_cores(), busy_cores=busy_cores),
        timing=timing,
        environment=describe_environment(
            device=first.hello.device, threads=first.threads, fingerprint=first.hello.fingerprint
        ),
        busy_cores=busy_cores,
        created=utc_now().isoformat(timespec="seconds"),
    )


def _series(
    task: BenchTask,
    measured: Sequence[_Measured],
    schedule: Schedule,
    engines: Sequence[BenchEngine],
    n_samples: int,
) -> tuple[BenchSeries, ...]:
    ordered = sorted(schedule.measurements, key=lambda one: (one.engine, one.phase, one.batch_size))
    series = [series_of(one, engines[one.engine], n_samples, measured[one.engine].plan.network) for one in ordered]
    if "train" in task.settings.phases:
        sizes = sorted({one.batch_size for one in ordered})
        single_fits = [one for one in measured if not one.plan.is_iterative]
        series += [_not_applicable(one, size, n_samples) for one in single_fits for size in sizes]
    return with_speedups(series)


def _not_applicable(measured: _Measured, size: int, n_samples: int) -> BenchSeries:
    """Return the row for the training step that an engine with a single fit does not have."""
    phase: Phase = "train"
    reason = _why_not_trained(measured.plan)
    return BenchSeries(
        measured.plan.backend,
        measured.threads,
        phase,
        size,
        *epoch_steps(n_samples, size),
        "not applicable",
        reason=reason,
    )
