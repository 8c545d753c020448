"""The whole benchmark: processes started, rounds made, figures and advice drawn."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlcli.batch_bench.advice import advise, warn
from mlcli.batch_bench.machine_load import Bystanders, busy_cores_now
from mlcli.batch_bench.messages import Introduction, SubjectSpec
from mlcli.batch_bench.metrics import series_of, steps_of_epoch, with_speedups
from mlcli.batch_bench.process import SubjectProcess
from mlcli.batch_bench.records import (
    BatchBenchRecord,
    BenchSeries,
    BenchSettings,
    BenchSubject,
    BenchTiming,
    Phase,
)
from mlcli.batch_bench.rounds import BenchObserver, Rounds
from mlcli.batch_bench.sizes import fitting_sizes
from mlcli.engines.contract import EngineRuntime
from mlcli.engines.registry import check_runtime
from mlcli.errors import UsageError
from mlcli.experiment.environment import describe_environment
from mlcli.experiment.plan import Plan
from mlcli.experiment.threads import available_cores, is_busy, thread_environment
from mlcli.registry import backend_info
from mlcli.runs.directory import utc_now

# Where others keep this many cores busy, and have for a minute, waiting threads sleep: spinning, they would take turns
# with them. Sleeping costs small batches dearly, so that a moment's work by others must not decide it.
_BUSY_CORES = 0.75


@dataclass(frozen=True)
class BenchTask:
    """What to measure. The plans hold one experiment, resolved for each engine."""

    plans: Mapping[str, Plan]
    settings: BenchSettings
    is_default_ladder: bool
    command: Callable[[str, int, int], str | None]  # of backend, threads and batch size: the line that trains so
    run: Path | None = None  # whose weights are used; None: initial weights
    data_directory: Path | None = None
    offline: bool = False


def run_batch_bench(task: BenchTask, observer: BenchObserver) -> BatchBenchRecord:
    """Measure every engine, thread count, phase and batch size of a task.

    UsageError, before anything is measured, for what an engine cannot do and for sizes that the data cannot fill. The
    errors of errors.py where the data or an engine cannot be brought up. Running out of memory is no error but a row.
    """
    _refuse(task)
    return _Benchmark(task, observer).run()


def _refuse(task: BenchTask) -> None:
    settings = task.settings
    for backend, plan in task.plans.items():
        check_runtime(backend, _runtime(task, plan, threads=1))
        n_at_most = min(plan.info.n_train or math.inf, plan.config.dataset.limit or math.inf)
        if settings.sizes and math.isfinite(n_at_most):
            fitting_sizes(settings.sizes, int(n_at_most), tile=settings.tile, is_default=task.is_default_ladder)
    if settings.phases == ("train",) and not any(plan.is_iterative for plan in task.plans.values()):
        raise UsageError(f"--phase train: {_why_not_trained(next(iter(task.plans.values())))}; use --phase forward")


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
    return f"{backend_info(plan.backend).title} fits {plan.config.model.name} in one call, so it has no training step"


class _Benchmark:
    def __init__(self, task: BenchTask, observer: BenchObserver) -> None:
        self._task = task
        self._settings = task.settings
        self._observer = observer
        self._started = time.perf_counter()
        self._must_sleep = is_busy() and busy_cores_now() >= _BUSY_CORES
        self._pairs = [(backend, threads) for backend in task.plans for threads in task.settings.threads]

    def run(self) -> BatchBenchRecord:
        with ExitStack() as stack:
            processes = [stack.enter_context(self._process(*pair)) for pair in self._pairs]
            introductions, startups = self._introduce(processes)
            startup_seconds = time.perf_counter() - self._started
            bystanders = Bystanders([process.cpu_seconds for process in processes])
            names = [f"{backend}, threads: {threads}," for backend, threads in self._pairs]
            rounds = Rounds(processes, self._phases(), names, self._settings, self._observer)
            n_samples = min(introduction.n_samples for introduction in introductions)
            rounds.run(self._sizes(n_samples), n_samples)
            busy_cores = bystanders.busy_cores()
            wall_seconds = time.perf_counter() - self._started
        subjects = self._subjects(introductions, startups, rounds)
        return self._record(rounds, subjects, n_samples, (wall_seconds, startup_seconds), busy_cores, introductions)

    def _process(self, backend: str, threads: int) -> SubjectProcess:
        task = self._task
        plan = task.plans[backend]
        self._observer.on_stage(f"starting {backend}, threads: {threads}")
        spec = SubjectSpec(
            config=plan.config.model_dump_json(),
            run=str(task.run.resolve()) if task.run else None,
            threads=threads,
            matmul_precision=_runtime(task, plan, threads).matmul_precision,
            compiled=self._settings.compiled,
            include_transfer=self._settings.include_transfer,
            data_directory=str(task.data_directory.resolve()) if task.data_directory else None,
            offline=task.offline,
        )
        return SubjectProcess(spec, backend, self._environment(threads))

    def _environment(self, threads: int) -> dict[str, str]:
        return thread_environment(threads, sleep=threads > 1 and self._must_sleep)

    def _waiting(self, threads: int) -> Literal["spin", "sleep"]:
        """As the machine or the user's own environment has it."""
        policy = (os.environ | self._environment(threads)).get("OMP_WAIT_POLICY", "")
        return "sleep" if policy.lower() == "passive" else "spin"

    def _introduce(self, processes: Sequence[SubjectProcess]) -> tuple[list[Introduction], list[float]]:
        introductions, startups = [], []
        for process in processes:
            introductions.append(process.introduction())
            startups.append(time.perf_counter() - process.started)
        return introductions, startups

    def _phases(self) -> list[tuple[Phase, ...]]:
        """Of each subject, what can be measured."""
        return [
            tuple(
                phase for phase in self._settings.phases if phase == "forward" or self._task.plans[backend].is_iterative
            )
            for backend, _ in self._pairs
        ]

    def _sizes(self, n_samples: int) -> tuple[int, ...] | None:
        if self._settings.sizes is None:
            return None
        return fitting_sizes(
            self._settings.sizes, n_samples, tile=self._settings.tile, is_default=self._task.is_default_ladder
        )

    def _subjects(
        self, introductions: Sequence[Introduction], startups: Sequence[float], rounds: Rounds
    ) -> tuple[BenchSubject, ...]:
        return tuple(
            BenchSubject(
                backend=backend,
                threads=threads,
                device=introduction.device,
                n_samples=introduction.n_samples,
                startup_seconds=startup,
                clock_resolution_seconds=introduction.clock_resolution_seconds,
                matrix_products={n: tuple(seconds) for n, seconds in products.items()},
                waiting=self._waiting(threads),
                notes=introduction.notes,
                fastest_reference_seconds=fastest,
            )
            for (backend, threads), introduction, startup, products, fastest in zip(
                self._pairs, introductions, startups, rounds.products, rounds.fastest, strict=True
            )
        )

    def _record(
        self, rounds: Rounds, subjects: tuple[BenchSubject, ...], n_samples: int,
        seconds: tuple[float, float], busy_cores: float, introductions: Sequence[Introduction],
    ) -> BatchBenchRecord:  # fmt: skip
        plan = next(iter(self._task.plans.values()))
        series = self._series(rounds, subjects, n_samples)
        in_products = sum(sum(samples) for subject in subjects for samples in subject.matrix_products.values())
        wall_seconds, startup_seconds = seconds
        return BatchBenchRecord(
            experiment=plan.config.name or "",
            dataset=plan.config.dataset.name,
            model=plan.config.model.name,
            n_parameters=plan.network.n_parameters if plan.network else None,
            settings=self._settings,
            subjects=subjects,
            series=series,
            advice=advise(series, n_samples, plan.config.training.batch_size, self._task.command),
            warnings=warn(series, subjects, self._settings, n_cores=available_cores(), busy_cores=busy_cores),
            timing=BenchTiming(
                wall_seconds=wall_seconds,
                startup_seconds=startup_seconds,
                measured_seconds=in_products
                + sum(cell.sampled_seconds + (cell.first_call_seconds or 0.0) for cell in rounds.cells),
                warmup_seconds=sum(cell.warmup_seconds for cell in rounds.cells),
            ),
            environment=describe_environment(
                device=subjects[0].device, threads=subjects[0].threads, fingerprint=introductions[0].fingerprint
            ),
            busy_cores=busy_cores,
            created=utc_now().isoformat(timespec="seconds"),
        )

    def _series(self, rounds: Rounds, subjects: Sequence[BenchSubject], n_samples: int) -> tuple[BenchSeries, ...]:
        cells = sorted(rounds.cells, key=lambda cell: (cell.subject, cell.phase, cell.batch_size))
        networks = [self._task.plans[backend].network for backend, _ in self._pairs]
        measured = [series_of(cell, subjects[cell.subject], n_samples, networks[cell.subject]) for cell in cells]
        return (*with_speedups(measured), *self._not_applicable(sorted({cell.batch_size for cell in cells}), n_samples))

    def _not_applicable(self, sizes: Sequence[int], n_samples: int) -> list[BenchSeries]:
        """Rows for the training steps that engines which fit in one call do not have."""
        if "train" not in self._settings.phases:
            return []
        return [
            BenchSeries(
                backend,
                threads,
                "train",
                size,
                *steps_of_epoch(n_samples, size),
                "not applicable",
                reason=_why_not_trained(plan),
            )
            for backend, threads in self._pairs
            for plan in [self._task.plans[backend]]
            if not plan.is_iterative
            for size in sizes
        ]
