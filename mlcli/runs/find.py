"""Find runs: the one that a reference names, a finished one of an experiment, or all that a query admits.

This module imports no framework and no numpy.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import itertools
import os
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlcli.errors import MlcliError, UsageError
from mlcli.records import EpochRecord, RunRecord, RunSummary
from mlcli.runs import RunQuery
from mlcli.runs.directory import CONFIG, HISTORY, METRICS, UNVERIFIED, RunDirectory
from mlcli.runs.index import RunIndex
from mlcli.runs.names import as_stamp, moment_of, short_id, stamp_of
from mlcli.runs.reader import VerifiedFiles, read_config
from mlcli.text import first_line, listed, printable

_N_SHOWN = 5  # ids in a message
_N_COMPARED = 1000  # newest ids among which the nearest is looked for
_ADVICE = "choose another directory with --runs-dir or MLCLI_RUNS_DIR; mlcli train creates a run"


def find_runs(runs_directory: Path, without: Container[str] = ()) -> Iterator[RunDirectory]:
    """Yield the runs in a directory, the one created last first, unfinished ones included.

    The time is that in the name of a run, or for a name that a person chose that in its record: copying keeps both.
    without: run ids to skip.
    """
    with RunIndex(runs_directory, describe_run) as index:
        yield from _newest_first(index, without)


def summaries(
    runs_directory: Path, without: Container[str] = ()
) -> Iterator[tuple[RunDirectory, RunSummary | MlcliError]]:
    """Yield the runs in a directory as `find_runs` does, each with its summary or the reason why it cannot be read."""
    with RunIndex(runs_directory, describe_run) as index:
        for directory in _newest_first(index, without):
            try:
                yield directory, index.summary(directory.run_id)
            except MlcliError as error:
                yield directory, error


def _newest_first(index: RunIndex, without: Container[str]) -> Iterator[RunDirectory]:
    names = [name for name in _listed(index.runs_directory) if name not in without]
    stamps = {name: stamp_of(name) for name in names}
    for name in [name for name, stamp in stamps.items() if stamp is None]:
        if _is_run(index.runs_directory, name):
            with contextlib.suppress(MlcliError):
                stamps[name] = as_stamp(index.summary(name).created)
    names.sort(key=lambda name: (stamps[name] or "", name), reverse=True)
    for name in names:
        if _is_run(index.runs_directory, name):
            yield RunDirectory(index.runs_directory / name)


def _listed(runs_directory: Path) -> list[str]:
    try:
        return os.listdir(runs_directory)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, ValueError) as error:
        raise MlcliError(f"{runs_directory}: cannot be listed: {first_line(error)}") from error


def _is_run(runs_directory: Path, name: str) -> bool:
    return os.path.isfile(f"{runs_directory}/{name}/{CONFIG}")


def next_moment(runs_directory: Path) -> datetime:
    """Return the time of creation of a new run in UTC: now, or just after the newest run if the clock was set back."""
    now = datetime.now(UTC)
    with RunIndex(runs_directory, describe_run) as index:
        newest = next(_newest_first(index, ()), None)
        stamp = newest and (stamp_of(newest.run_id) or as_stamp(_created(index, newest.run_id)))
    moment = moment_of(stamp) if stamp else None
    try:
        return now if moment is None else max(now, moment + timedelta(milliseconds=1))
    except OverflowError:  # the newest run says that it is from the end of the calendar
        return now


def _created(index: RunIndex, run_id: str) -> str:
    try:
        return index.summary(run_id).created
    except MlcliError:
        return ""


def find_finished(runs_directory: Path, experiment_digest: str) -> tuple[RunDirectory, RunRecord] | None:
    """Return the newest finished run of exactly this experiment, or None."""
    for directory in _finished_runs(runs_directory, experiment_digest):
        with contextlib.suppress(MlcliError):
            return directory, directory.read_record()
    return None


def _finished_runs(runs_directory: Path, experiment_digest: str | None = None) -> Iterator[RunDirectory]:
    """The finished runs whose record can be read, the newest first; only those of an experiment if it is given."""
    for directory, found in summaries(runs_directory):
        if isinstance(found, MlcliError) or found.status != "finished":
            continue
        if experiment_digest in (None, found.experiment):
            yield directory


def find_run(reference: str, runs_directory: Path) -> RunDirectory:
    """Return the run that a reference names: a directory, a run id or short id, a unique prefix of one, or `last`.

    `last` is the finished run that was created last. UsageError, with the nearest ids, if no run matches, and with the
    matching ids if several do.
    """
    if reference == "last":
        newest = next(_finished_runs(runs_directory), None)
        if newest is None:
            raise UsageError(f"no finished run in {runs_directory}\n{_ADVICE}")
        return newest
    path = Path(reference)
    # os.path returns False where pathlib raises: for a name that is too long, a folder that cannot be entered.
    if os.path.isfile(path / CONFIG) or os.path.isfile(path / METRICS):
        return RunDirectory(path.resolve())
    for folder in (path, runs_directory / reference):
        if os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise MlcliError(f"{folder}: {os.strerror(errno.EACCES)}")
    if os.path.isdir(path):
        raise UsageError(f"{path}: not a run directory, it has no {CONFIG}")
    names = sorted(_listed(runs_directory), reverse=True)
    matches = [name for name in names if _is_match(reference, name) and _is_run(runs_directory, name)]
    for found in ([reference] if reference in matches else [], _with_short_id(reference, matches), matches):
        if len(found) == 1:
            return RunDirectory(runs_directory / found[0])
    if matches:
        shown = _shown(matches)
        raise UsageError(f"run {reference!r} matches {len(matches)} runs: {shown}\ngive more characters of the id")
    ids = [run.run_id for run in itertools.islice(find_runs(runs_directory), _N_COMPARED)]
    if not ids:
        raise UsageError(f"no run {reference!r}: no runs in {runs_directory}\n{_ADVICE}")
    near = difflib.get_close_matches(reference, ids, n=_N_SHOWN, cutoff=0.3)
    suggestion = f"{'nearest' if near else 'newest'}: {_shown(near or ids)}"
    raise UsageError(f"no run {reference!r} in {runs_directory}\n{suggestion}")


def _is_match(reference: str, name: str) -> bool:
    # Whatever matches contains the reference; that alone is quick to check.
    return reference in name and (name.startswith(reference) or (short_id(name) or "").startswith(reference))


def _with_short_id(reference: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if short_id(name) == reference]


def _shown(ids: list[str]) -> str:
    return listed([*map(printable, ids)], _N_SHOWN)


@dataclass(frozen=True)
class ListedRun:
    """A run, whatever its status."""

    record: RunRecord
    directory: Path
    reference: str  # its short id, or the shortest prefix of its id, that no other run in its directory has


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
        n_unverified = sum(UNVERIFIED in run.record.notes for run in self.runs)
        if n_unverified:
            notes.append(f"scores of {n_unverified} of these runs are not verified: written by an earlier version")
        return notes


def list_runs(runs_directory: Path, query: RunQuery) -> RunList:
    """Return the runs in a directory that a query admits, in its order; those without a value for the key come last."""
    found = list(summaries(runs_directory))
    issues = [_issue(summary) for _, summary in found if isinstance(summary, MlcliError)]
    matching = [run for run in found if isinstance(run[1], RunSummary) and query.admits(run[1])]
    chosen = _sorted(matching, query.sort)[: query.limit]
    references = _references([run.run_id for run, _ in chosen], among=[run.run_id for run, _ in found])
    runs = []
    for directory, _ in chosen:
        try:
            runs.append(ListedRun(describe_run(directory), directory.path, references[directory.run_id]))
        except MlcliError as error:  # another process has changed it
            issues.append(_issue(error))
    return RunList(tuple(runs), len(matching), tuple(issues))


def _issue(error: MlcliError) -> str:
    return str(error).splitlines()[0]


_Found = tuple[RunDirectory, RunSummary | MlcliError]


def _sorted(runs: list[_Found], key: str) -> list[_Found]:
    name = "seconds" if key == "time" else key
    known = [run for run in runs if getattr(run[1], name) is not None]
    unknown = [run for run in runs if getattr(run[1], name) is None]
    known.sort(key=lambda run: getattr(run[1], name), reverse=key in ("created", "accuracy"))
    return known + unknown


def _references(ids: list[str], among: list[str]) -> dict[str, str]:
    """Return for each id its short id, if no other run has it, else the shortest prefix that no other id has.

    A prefix has at least the time, which ends at `_`.
    """
    n_runs = Counter(name.rpartition("_")[2] for name in among)
    references = {run_id: short for run_id in ids if (short := short_id(run_id)) and n_runs[short] == 1}
    if len(references) == len(ids):
        return references
    ordered = sorted(among)
    for before, run_id, after in zip(["", *ordered], ordered, [*ordered[1:], ""], strict=False):
        prefixes = (run_id[:length] for length in range(len(run_id.partition("_")[0]), len(run_id)))
        unique = (text for text in prefixes if not before.startswith(text) and not after.startswith(text))
        references.setdefault(run_id, next(unique, run_id))
    return references


def inspect_run(directory: RunDirectory) -> tuple[RunRecord, list[EpochRecord]]:
    """Return the record and the history of a run, from files that match their checksums; see `describe_run`.

    An unfinished run has no checksums. DataError, naming the file, for files that are missing or altered.
    """
    if not directory.has_record():
        return describe_run(directory), directory.read_history()
    files = VerifiedFiles(directory.path)
    return files.scored_record(), files.history() if os.path.lexists(directory.path / HISTORY) else []


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
        dataset=config.dataset.label,
        model=config.model.name,
        seed=config.seed,
        metrics={},
        timing=None,
        epochs=len(history) if config.training.epochs else None,
        best_epoch=next((epoch.epoch for epoch in reversed(history) if epoch.is_best and _is_validated(epoch)), None),
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


def _is_validated(epoch: EpochRecord) -> bool:
    return epoch.validation_accuracy is not None  # version 0.1.0 marked the lowest training loss where this is missing


def _modified(path: Path) -> str:
    """The time of the last change in UTC, ISO 8601; empty for a time outside of the calendar."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds")
    except (OSError, ValueError, OverflowError):
        return ""
