"""Find runs: the one that a reference names, a finished one of an experiment, or all that a query admits.

This module imports no framework and no numpy.
"""

from __future__ import annotations

import difflib
import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlcli.errors import MlcliError, UsageError
from mlcli.records import RunRecord
from mlcli.runs import RunQuery
from mlcli.runs.directory import CONFIG, METRICS, RunDirectory
from mlcli.runs.reader import read_config
from mlcli.text import first_line, listed, printable

_N_SHOWN = 5  # ids in a message
_ADVICE = "choose another directory with --runs-dir or MLCLI_RUNS_DIR; mlcli train creates a run"


def find_runs(runs_directory: Path) -> Iterator[RunDirectory]:
    """Yield the runs in a directory, the newest first, unfinished ones included."""
    try:
        names = sorted(os.listdir(runs_directory), reverse=True)
    except (FileNotFoundError, NotADirectoryError):
        return
    except (OSError, ValueError) as error:
        raise MlcliError(f"{runs_directory}: cannot be listed: {first_line(error)}") from error
    for name in names:
        if os.path.isfile(runs_directory / name / CONFIG):
            yield RunDirectory(runs_directory / name)


def find_finished(runs_directory: Path, experiment_digest: str) -> tuple[RunDirectory, RunRecord] | None:
    """Return the newest finished run of exactly this experiment, or None."""
    found = _finished_runs(runs_directory)
    return next((run for run in found if run[1].digests.get("experiment") == experiment_digest), None)


def _finished_runs(runs_directory: Path) -> Iterator[tuple[RunDirectory, RunRecord]]:
    """The finished runs whose record can be read, the newest first."""
    for directory in find_runs(runs_directory):
        try:
            record = directory.read_record()
        except MlcliError:
            continue
        if record.status == "finished":
            yield directory, record


def find_run(reference: str, runs_directory: Path) -> RunDirectory:
    """Return the run that a reference names: a directory, a run id, a unique prefix of one, or `last`.

    `last` is the newest finished run. UsageError, with the nearest ids, if no run matches, and with the matching ids
    if several do.
    """
    if reference == "last":
        newest = next(_finished_runs(runs_directory), None)
        if newest is None:
            raise UsageError(f"no finished run in {runs_directory}\n{_ADVICE}")
        return newest[0]
    path = Path(reference)
    # os.path returns False where pathlib raises: for a name that is too long, a folder that cannot be entered.
    if os.path.isfile(path / CONFIG) or os.path.isfile(path / METRICS):
        return RunDirectory(path.resolve())
    for folder in (path, runs_directory / reference):
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise MlcliError(f"{folder}: {os.strerror(errno.EACCES)}")
    if os.path.isdir(path):
        raise UsageError(f"{path}: not a run directory, it has no {CONFIG}")
    runs = list(find_runs(runs_directory))
    matches = [run for run in runs if run.run_id.startswith(reference)]
    for run in matches:
        if len(matches) == 1 or run.run_id == reference:
            return run
    ids = [run.run_id for run in matches or runs]
    if matches:
        raise UsageError(f"run {reference!r} matches {len(ids)} runs: {_shown(ids)}\ngive more characters of the id")
    if not ids:
        raise UsageError(f"no run {reference!r}: no runs in {runs_directory}\n{_ADVICE}")
    near = difflib.get_close_matches(reference, ids, n=_N_SHOWN, cutoff=0.3)
    suggestion = f"{'nearest' if near else 'newest'}: {_shown(near or ids)}"
    raise UsageError(f"no run {reference!r} in {runs_directory}\n{suggestion}")


def _shown(ids: list[str]) -> str:
    return listed([*map(printable, ids)], _N_SHOWN)


@dataclass(frozen=True)
class ListedRun:
    """A run, whatever its status."""

    record: RunRecord
    directory: Path
    reference: str  # the shortest prefix of its id that no other run in its directory has


@dataclass(frozen=True)
class RunList:
    """The runs that a listing found."""

    runs: tuple[ListedRun, ...]
    n_matching: int  # without the limit
    issues: tuple[str, ...] = ()  # why a run could not be read, one line each

    def notes(self, runs_directory: Path) -> list[str]:
        """Return what the list does not show."""
        notes = [f"not listed: {issue}" for issue in self.issues]
        if not self.n_matching:
            notes.append(f"no matching run in {runs_directory}")
        elif len(self.runs) < self.n_matching:
            notes.append(f"{len(self.runs)} of {self.n_matching} runs; --limit 0 lists all")
        return notes


def list_runs(runs_directory: Path, query: RunQuery) -> RunList:
    """Return the runs in a directory that a query admits, in its order; those without a value for the key come last."""
    directories = list(find_runs(runs_directory))
    references = _references([directory.run_id for directory in directories])
    runs, issues = [], []
    for directory in directories:
        try:
            record = describe_run(directory)
        except MlcliError as error:
            issues.append(str(error).splitlines()[0])
            continue
        if query.admits(record):
            runs.append(ListedRun(record, directory.path, references[directory.run_id]))
    return RunList(tuple(_sorted(runs, query.sort)[: query.limit]), len(runs), tuple(issues))


def _sorted(runs: list[ListedRun], key: str) -> list[ListedRun]:
    known = [run for run in runs if _sort_value(run.record, key) is not None]
    unknown = [run for run in runs if _sort_value(run.record, key) is None]
    known.sort(key=lambda run: _sort_value(run.record, key), reverse=key in ("created", "accuracy"))
    return known + unknown


def _sort_value(record: RunRecord, key: str) -> Any:
    if key in ("accuracy", "loss"):
        return getattr(record.metrics.get("test"), key, None)
    if key == "time":
        return record.timing.total_seconds if record.timing else None
    return getattr(record, key)


def _references(ids: list[str]) -> dict[str, str]:
    """Return for each id the shortest prefix that no other id has, with at least its time, which ends at `_`."""
    ordered = sorted(ids)
    references = {}
    for before, run_id, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        prefixes = (run_id[:length] for length in range(len(run_id.partition("_")[0]), len(run_id)))
        unique = (text for text in prefixes if not before.startswith(text) and not after.startswith(text))
        references[run_id] = next(unique, run_id)
    return references


def describe_run(directory: RunDirectory) -> RunRecord:
    """Return the record of a run; for an unfinished one, what its configuration, history and environment tell.

    MlcliError if those cannot be read.
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
    """The time of the last change in UTC, ISO 8601; empty for a time outside of the calendar."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    except (OSError, ValueError, OverflowError):
        return ""
