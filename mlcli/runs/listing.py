"""The runs that were kept: found, filtered and sorted. No framework is imported, and no numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

from mlcli.errors import MlcliError, UsageError, unknown_name
from mlcli.records import RunRecord, RunStatus
from mlcli.registry import backend_info
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_runs
from mlcli.runs.stored_config import read_config

_LEAST_REFERENCE = len("20260131T120000Z")  # the time of a run's id


@dataclass(frozen=True)
class RunFilter:
    """What a run must be to be listed; None admits everything. name: a pattern of the shell, e.g. fashion*."""

    backend: str | None = None
    dataset: str | None = None
    status: str | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if self.backend is not None:
            backend_info(self.backend)
        if self.status is not None and self.status not in get_args(RunStatus):
            raise UsageError(f"--status: {unknown_name('status', self.status, get_args(RunStatus))}")

    def admits(self, record: RunRecord) -> bool:
        """Whether a run is all of this."""
        return (
            self.backend in (None, record.backend)
            and self.dataset in (None, record.dataset)
            and self.status in (None, record.status)
            and (self.name is None or fnmatchcase(record.name, self.name))
        )


@dataclass(frozen=True)
class KnownRun:
    """A run, whatever its status. reference: the shortest text that names it beside the others of its directory."""

    record: RunRecord
    directory: Path
    reference: str


@dataclass(frozen=True)
class RunList:
    """runs: those asked for; n_matching: how many there are without the limit; faults: runs that cannot be read."""

    runs: tuple[KnownRun, ...]
    n_matching: int
    faults: tuple[str, ...] = field(default=())


# What each key sorts by, and whether the largest comes first.
_Key = Callable[[RunRecord], Any]
SORT_KEYS: Mapping[str, tuple[_Key, bool]] = {
    "created": (lambda record: record.created, True),
    "accuracy": (lambda record: record.metrics["test"].accuracy if "test" in record.metrics else None, True),
    "loss": (lambda record: record.metrics["test"].loss if "test" in record.metrics else None, False),
    "time": (lambda record: record.timing.total_seconds if record.timing else None, False),
    "name": (lambda record: record.name, False),
    "backend": (lambda record: record.backend, False),
    "dataset": (lambda record: record.dataset, False),
    "status": (lambda record: record.status, False),
}


def list_runs(runs_directory: Path, wanted: RunFilter, *, sort: str = "created", limit: int | None = None) -> RunList:
    """The runs of a directory that the filter admits, the best first by `sort`, those without a value last.

    limit: the most to return; None for all. UsageError for a key that does not exist.
    """
    if sort not in SORT_KEYS:
        raise UsageError(f"--sort: {unknown_name('key', sort, list(SORT_KEYS))}")
    directories = list(find_runs(runs_directory))
    references = _references([directory.run_id for directory in directories])
    runs, faults = [], []
    for directory in directories:
        try:
            record = describe_run(directory)
        except MlcliError as error:
            faults.append(str(error).splitlines()[0])
            continue
        if wanted.admits(record):
            runs.append(KnownRun(record, directory.path, references[directory.run_id]))
    return RunList(tuple(_sorted(runs, sort)[:limit]), len(runs), tuple(faults))


def _sorted(runs: list[KnownRun], sort: str) -> list[KnownRun]:
    key, largest_first = SORT_KEYS[sort]
    known = [run for run in runs if key(run.record) is not None]
    without = [run for run in runs if key(run.record) is None]
    return sorted(known, key=lambda run: key(run.record), reverse=largest_first) + without


def _references(ids: list[str]) -> dict[str, str]:
    """For each id the shortest prefix, at least its time, that no other id has."""
    ordered = sorted(ids)
    references = {}
    for index, run_id in enumerate(ordered):
        neighbours = ordered[max(0, index - 1) : index] + ordered[index + 1 : index + 2]
        shared = max((_n_shared(run_id, other) for other in neighbours), default=0)
        references[run_id] = run_id[: max(_LEAST_REFERENCE, shared + 1)]
    return references


def _n_shared(first: str, second: str) -> int:
    pairs = zip(first, second, strict=False)
    return next((index for index, (a, b) in enumerate(pairs) if a != b), min(len(first), len(second)))


def describe_run(directory: RunDirectory) -> RunRecord:
    """The record of a run; for one that has none, as much as its configuration and its history say.

    MlcliError where that cannot be read.
    """
    if directory.has_record():
        return directory.read_record()
    config = read_config(directory.path)
    history, environment = directory.read_history(), directory.read_environment()
    device, threads = environment.get("device"), environment.get("threads")
    return RunRecord(
        run_id=directory.run_id,
        name=config.name or "",
        status="unfinished",
        backend=config.backend or "",
        dataset=config.dataset.name,
        model=config.model.name,
        seed=config.seed,
        metrics={},
        timing=None,
        epochs=len(history) if config.training.epochs else None,
        best_epoch=next((record.epoch for record in reversed(history) if record.is_best), None),
        samples_per_second=None,
        n_parameters=None,
        device=device if isinstance(device, str) else config.runtime.device,
        threads=threads if isinstance(threads, int) else config.runtime.threads or 0,
        peak_memory_bytes=None,
        notes=(),
        digests={},
        mlcli_version=str(environment.get("mlcli", "")),
        created=_modified(directory.config_path),
    )


def _modified(path: Path) -> str:
    """Empty for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    except (OSError, ValueError, OverflowError):
        return ""
