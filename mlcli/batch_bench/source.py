"""From the request to what is measured: the plan of each engine, the settings, and the command that trains."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlcli.batch_bench import DEFAULT_MIN_SECONDS, DEFAULT_SIZES, PHASE_CHOICES, PRECISIONS, BatchBenchRequest
from mlcli.batch_bench.records import PHASES, BenchSettings, PrecisionName
from mlcli.config.experiment import load_experiment
from mlcli.errors import UsageError, unknown_name
from mlcli.experiment.plan import Plan, make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.experiment.threads import available_cores
from mlcli.registry import DEFAULT_BACKEND, backend_info
from mlcli.runs.find import default_runs_directory, find_run
from mlcli.text import comma_separated

_DEFAULT_DATASET = "mnist"


@dataclass(frozen=True)
class BenchTask:
    """What a request asks to measure. The plans hold one experiment, resolved for each engine."""

    request: BatchBenchRequest
    plans: Mapping[str, Plan]
    settings: BenchSettings
    run: Path | None  # whose weights are used; None: initial weights

    def train_command(self, backend: str, threads: int, batch_size: int) -> str | None:
        """Return the command that trains with this batch size; None for what `mlcli train` does not offer."""
        request = self.request
        if request.compiled or request.precision not in (None, "float32"):
            return None
        words = ["mlcli", "train"]
        if self.run is not None:
            words.append(str(self.run / "config.yaml"))
        elif request.source:
            words.append(request.source)
        elif _needs_default_dataset(request):
            words += ["--dataset", _DEFAULT_DATASET]
        for flag, (_, value) in _experiment_flags(request).items():
            words += [flag, str(value)] if value is not None else []
        for text in request.settings:
            words += ["--set", text]
        words += ["--device", request.device] if request.device else []
        words += ["--data-dir", str(request.data_dir)] if request.data_dir else []
        words += ["--backend", backend, "--batch-size", str(batch_size)]
        words += ["--threads", str(threads)] if request.threads else []
        return shlex.join(words)


def task_of(request: BatchBenchRequest) -> BenchTask:
    """Return what a request measures. Raises UsageError for values that make no sense, or what the source raises."""
    _check_name("--phase", "phase", request.phase, PHASE_CHOICES)
    if request.precision is not None:
        _check_name("--precision", "precision", request.precision, PRECISIONS)
    plans, run = plans_of(request)
    return BenchTask(request, plans, _settings(request, plans), run)


def plans_of(request: BatchBenchRequest) -> tuple[dict[str, Plan], Path | None]:
    """Return the plan of each engine, and the directory of the run if one was named."""
    source = request.source
    if source is not None and not source.endswith((".yaml", ".yml")) and not os.path.isfile(source):
        return _plans_of_run(request, source)
    return _plans_of_config(request), None


def _plans_of_config(request: BatchBenchRequest) -> dict[str, Plan]:
    path = Path(request.source) if request.source else None
    flags = dict(_experiment_flags(request).values()) | _runtime_keys(request)
    if _needs_default_dataset(request):
        flags["dataset.name"] = _DEFAULT_DATASET
    settings = list(request.settings)
    names = _backends(request) or [load_experiment(path, flags=flags, settings=settings).backend or DEFAULT_BACKEND]
    return {
        name: make_plan(load_experiment(path, flags={**flags, "backend": name}, settings=settings)) for name in names
    }


def _plans_of_run(request: BatchBenchRequest, source: str) -> tuple[dict[str, Plan], Path]:
    stored = open_run(find_run(source, request.runs_dir or default_runs_directory()))
    given = [flag for flag, (_, value) in _experiment_flags(request).items() if value is not None]
    given += ["--set"] if request.settings else []
    if given:
        raise UsageError(
            f"{', '.join(given)}: a run is measured with its own experiment\nomit these flags, or give a YAML file"
        )
    changes = {key.partition(".")[2]: value for key, value in _runtime_keys(request).items() if value is not None}
    config = stored.config.model_copy(update={"runtime": stored.config.runtime.model_copy(update=changes)})
    names = _backends(request) or [stored.record.backend]
    return {name: make_plan(config.model_copy(update={"backend": name})) for name in names}, stored.path


def _backends(request: BatchBenchRequest) -> list[str]:
    names = comma_separated(request.backends or "")
    for name in names:
        backend_info(name)  # UsageError for an unknown one
    return names


def _experiment_flags(request: BatchBenchRequest) -> dict[str, tuple[str, object]]:
    """Return the flags that describe the experiment, each with its key and value."""
    return {
        "--dataset": ("dataset.name", request.dataset),
        "--model": ("model.name", request.model),
        "--optimizer": ("optimizer.name", request.optimizer),
        "--limit": ("dataset.limit", request.limit),
    }


def _runtime_keys(request: BatchBenchRequest) -> dict[str, object]:
    return {"runtime.device": request.device, "runtime.precision": "float32" if request.precision else None}


def _needs_default_dataset(request: BatchBenchRequest) -> bool:
    """Return whether nothing names a dataset. The default sizes suit one with 60,000 samples."""
    is_set = any(text.startswith("dataset") for text in request.settings)
    is_in_environment = any(name in os.environ for name in ("MLCLI_DATASET", "MLCLI_DATASET__NAME"))
    return request.source is None and request.dataset is None and not is_set and not is_in_environment


def _settings(request: BatchBenchRequest, plans: Mapping[str, Plan]) -> BenchSettings:
    max_seconds = request.max_time
    min_seconds = min(DEFAULT_MIN_SECONDS, max_seconds) if request.min_time is None else request.min_time
    if not 0 <= min_seconds <= max_seconds or not 0 < max_seconds < math.inf:
        raise UsageError(
            f"--min-time {min_seconds:g}, --max-time {max_seconds:g}: must be seconds with 0 <= min <= max, and max > 0"
        )
    runtime = next(iter(plans.values())).config.runtime
    return BenchSettings(
        backends=tuple(plans),
        threads=tuple(_whole_numbers("--threads", request.threads, "1,2"))
        if request.threads
        else (runtime.threads or available_cores(),),
        phases=tuple(phase for phase in PHASES if request.phase in (phase, "both")),
        sizes=_sizes(request.sizes),
        min_seconds=min_seconds,
        max_seconds=max_seconds,
        repeats=request.repeats,
        precision=cast("PrecisionName", request.precision or runtime.precision),
        compiled=request.compiled,
        include_transfer=request.include_transfer,
    )


def _sizes(text: str | None) -> tuple[int, ...] | None:
    """Return the batch sizes in ascending order; None for `auto`."""
    if text is None:
        return DEFAULT_SIZES
    if text.strip() == "auto":
        return None
    return tuple(sorted(_whole_numbers("--sizes", text, "1,10,100 or auto")))


def _whole_numbers(flag: str, text: str, example: str) -> list[int]:
    """Return the numbers of a comma-separated list, each once; UsageError if one is not a whole number above 0."""
    try:
        numbers = list(dict.fromkeys(map(int, text.split(","))))
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1:
        raise UsageError(f"{flag} {text}: must be whole numbers of at least 1, e.g. {example}")
    return numbers


def _check_name(flag: str, kind: str, name: str, choices: Sequence[str]) -> None:
    if name not in choices:
        raise UsageError(f"{flag}: {unknown_name(kind, name, choices)}")
