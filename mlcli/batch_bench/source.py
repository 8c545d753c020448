"""From the request to what is measured: the plan of each engine, the settings, and the command that trains."""

from __future__ import annotations

import functools
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
from mlcli.config.shipped import config_file, similar_names
from mlcli.errors import UsageError, unknown_name
from mlcli.experiment.plan import Plan, make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.experiment.threads import available_cores
from mlcli.registry import DEFAULT_BACKEND, backend_info
from mlcli.runs.find import find_run
from mlcli.text import comma_separated

_FLAGS = {
    "dataset.name": "--dataset",
    "dataset.path": "--data",
    "dataset.test_path": "--test-data",
    "dataset.validation_path": "--validation-data",
    "dataset.target": "--target",
    "dataset.image_size": "--image-size",
    "dataset.on_bad": "--on-bad",
    "model.name": "--model",
    "optimizer.name": "--optimizer",
    "dataset.limit": "--limit",
    "runtime.device": "--device",
}


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
        source = str(self.run / "config.yaml") if self.run else request.source
        words = ["mlcli", "train", *([source] if source else [])]
        for key, value in _flags(request).items():
            words += [_FLAGS[key], str(value)]
        for text in request.settings:
            words += ["--set", text]
        words += ["--data-dir", str(request.data_dir)] if request.data_dir else []
        words += ["--backend", backend, "--batch-size", str(batch_size)]
        words += ["--threads", str(threads)] if request.threads else []
        return shlex.join(words)


def task_of(request: BatchBenchRequest) -> BenchTask:
    """Return what a request measures. Raises UsageError for values that make no sense, or what the source raises."""
    for kind, name, choices in (("phase", request.phase, PHASE_CHOICES), ("precision", request.precision, PRECISIONS)):
        if name is not None and name not in choices:
            raise UsageError(f"--{kind}: {unknown_name(kind, name, choices)}")
    plans, run = plans_of(request)
    return BenchTask(request, plans, _settings(request, plans), run)


def plans_of(request: BatchBenchRequest) -> tuple[dict[str, Plan], Path | None]:
    """Return the plan of each engine, and the directory of the run if one was named."""
    backends = comma_separated(request.backends or "")
    for name in backends:
        backend_info(name)  # UsageError for an unknown one
    source = request.source
    if source is not None and config_file(source) is None:
        return _plans_of_run(request, source, backends)
    return _plans_of_config(request, backends), None


def _plans_of_config(request: BatchBenchRequest, backends: Sequence[str]) -> dict[str, Plan]:
    path = config_file(request.source) if request.source else None
    flags = _flags(request) | ({"runtime.precision": "float32"} if request.precision else {})
    load = functools.partial(load_experiment, path, settings=request.settings)
    names = backends or [load(flags=flags).backend or DEFAULT_BACKEND]
    return {name: make_plan(load(flags=flags | {"backend": name}), request.data_dir) for name in names}


def _plans_of_run(request: BatchBenchRequest, source: str, backends: Sequence[str]) -> tuple[dict[str, Plan], Path]:
    with similar_names([source]):
        stored = open_run(find_run(source, request.runs_dir))
    given = [_FLAGS[key] for key in request.flags if key != "runtime.device"]
    given += ["--set"] if request.settings else []
    if given:
        raise UsageError(
            f"{', '.join(given)}: a run is measured with its own experiment\nomit these flags, or give a YAML file"
        )
    changes = {"device": request.flags.get("runtime.device"), "precision": "float32" if request.precision else None}
    changes = {key: value for key, value in changes.items() if value is not None}
    config = stored.config.model_copy(update={"runtime": stored.config.runtime.model_copy(update=changes)})
    names = backends or [stored.record.backend]
    plans = {name: make_plan(config.model_copy(update={"backend": name}), request.data_dir) for name in names}
    return plans, stored.path


def _flags(request: BatchBenchRequest) -> dict[str, object]:
    """Return the flags of the experiment by their keys. If none names a dataset, it is MNIST, which fills all sizes."""
    is_named = (
        request.source is not None
        or "dataset.name" in request.flags
        or "dataset.path" in request.flags
        or any(text.startswith("dataset") for text in request.settings)
        or any(name in os.environ for name in ("MLCLI_DATASET", "MLCLI_DATASET__NAME", "MLCLI_DATASET__PATH"))
    )
    return {**({} if is_named else {"dataset.name": "mnist"}), **request.flags}


def _settings(request: BatchBenchRequest, plans: Mapping[str, Plan]) -> BenchSettings:
    max_seconds = request.max_time
    min_seconds = min(DEFAULT_MIN_SECONDS, max_seconds) if request.min_time is None else request.min_time
    if not 0 <= min_seconds <= max_seconds or not 0 < max_seconds < math.inf:
        raise UsageError(
            f"--min-time {min_seconds:g}, --max-time {max_seconds:g}: must be seconds with 0 <= min <= max, and max > 0"
        )
    runtime = next(iter(plans.values())).config.runtime
    threads = [runtime.threads or available_cores()]
    if request.threads:
        threads = _whole_numbers("--threads", request.threads, "1,2")
    return BenchSettings(
        backends=tuple(plans),
        threads=tuple(threads),
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
