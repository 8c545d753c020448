"""The cells of a matrix on disk and as processes.

    <runs>/cells/<digest>/experiment.yaml   the configuration that is trained
                          result.json       stdout of the process
                          log.txt           stderr of the process
                          lock              locked as long as the process lives
                          failure.json      why the cell failed; removed when it is tried again

The runs themselves are in the runs directory like all others: a cell is finished when the runs directory has a finished
run of exactly its experiment, computed by the present versions of the libraries. The process inherits the lock: if
compare is killed, its cell continues, and the next call waits for it instead of repeating it. An interrupted cell is
resumed from its checkpoint.
"""

from __future__ import annotations

import contextlib
import itertools
import platform
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from mlcli.compare.matrix import Cell
from mlcli.config.dump import to_yaml
from mlcli.errors import ExitCode, MlcliError
from mlcli.experiment.environment import package_versions
from mlcli.experiment.session import Session
from mlcli.files import write_whole
from mlcli.records import RunRecord, RunSummary
from mlcli.registry import BACKENDS
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import summaries
from mlcli.text import to_json
from mlcli.train.resume import find_interrupted
from mlcli.untrusted import parse_json, read_inside

EXPERIMENT, RESULT, LOG, FAILURE = "experiment.yaml", "result.json", "log.txt", "failure.json"
_MOST_FAILURE_BYTES = 2**20
_N_SIMILAR = 20  # runs from which the time of a cell is estimated
_INTERRUPTIONS = (ExitCode.SIGHUP, ExitCode.SIGINT, ExitCode.SIGTERM)


class Executor(Protocol):
    """Runs the processes of cells, on this machine or elsewhere."""

    n_slots: int  # how many cells run in parallel

    def run(self, folder: Path, lock: int | None, stopped: Path | None) -> int | None:
        """Train EXPERIMENT in the folder of a cell into the runs directory; write stdout to RESULT, stderr to LOG.

        lock: a file descriptor that the process keeps open. stopped: an interrupted run of this experiment with a
        checkpoint, which an executor resumes if it can reach it. Returns the exit code, negative for a signal; None if
        nothing was started because `stop` was called.
        """
        ...

    def stop(self) -> None:
        """Stop all processes, wait until they have written their checkpoints, and start no others."""
        ...


@dataclass(frozen=True)
class FinishedRun:
    """A finished run on disk, and its record."""

    directory: RunDirectory
    record: RunRecord

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        return self.directory.read_environment()

    @property
    def session(self) -> Session | None:
        return Session.stored(self.environment)


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended: with a finished run, or with the reason why it has none.

    wall_seconds: lifetime of its process; None if none was started in this call.
    """

    run: FinishedRun | None = None
    reason: str | None = None
    wall_seconds: float | None = None


class CellStore:
    """The finished runs and the failed cells in a runs directory.

    session: of this call; with `retime`, only runs measured in it are reused. any_versions: runs computed by other
    versions of the libraries are reused too.
    """

    def __init__(
        self, runs_directory: Path, session: str = "", *, retime: bool = False, any_versions: bool = False
    ) -> None:
        self.runs_directory = runs_directory
        self._session = session if retime else None
        self._any_versions = any_versions
        self._versions = package_versions()
        self._by_digest: defaultdict[str, list[RunDirectory]] = defaultdict(list)  # by experiment, the oldest first
        self._finished: list[tuple[RunDirectory, RunSummary]] = []
        self._seen: set[str] = set()
        self._lock = threading.Lock()
        self.refresh()

    def refresh(self) -> None:
        """Look for runs that have finished since the last call."""
        with self._lock:
            for directory, found in reversed(list(summaries(self.runs_directory, without=self._seen))):
                # Any other may still become finished.
                if isinstance(found, RunSummary) and found.status == "finished":
                    self._seen.add(directory.run_id)
                    self._by_digest[found.experiment].append(directory)
                    self._finished.append((directory, found))

    def refreshed_run(self, cell: Cell) -> FinishedRun | None:
        """Return the run of a cell, which may have finished since the last call."""
        self.refresh()
        return self.reusable_run(cell)

    def reusable_run(self, cell: Cell) -> FinishedRun | None:
        """Return the newest finished run of a cell that need not be repeated."""
        for run in self._finished_runs(cell):
            is_measured = self._session is None or (run.session is not None and run.session.id == self._session)
            if is_measured and (self._any_versions or not self._changed_versions(cell, run.environment)):
                return run
        return None

    def _finished_runs(self, cell: Cell) -> Iterator[FinishedRun]:
        """The finished runs of a cell that can be read, the newest first."""
        for directory in reversed(self._by_digest[cell.digest]):
            with contextlib.suppress(MlcliError):
                yield FinishedRun(directory, directory.read_record())

    def resumable_run(self, cell: Cell) -> Path | None:
        """Return an interrupted run of a cell with a checkpoint; None if its times or versions could not be used."""
        path = find_interrupted(cell.config, cell.digest, self.runs_directory) if self._session is None else None
        if path is None or self._any_versions:
            return path
        return None if self._changed_versions(cell, RunDirectory(path).read_environment()) else path

    def _changed_versions(self, cell: Cell, environment: Mapping[str, Any]) -> list[str]:
        """Return the libraries that computed a cell and have another version now, e.g. "torch 2.12.0, now 2.13.0"."""
        stored = environment.get("packages")
        if not isinstance(stored, Mapping):
            return []
        return [
            f"{name} {stored.get(name)}, now {self._versions.get(name)}"
            for name in BACKENDS[cell.config.backend or ""].packages
            if stored.get(name) != self._versions.get(name)
        ]

    def origin_notes(self, cells: Sequence[Cell]) -> list[str]:
        """Return which finished cells were computed by other versions of the libraries, or on another machine."""
        found = [(cell, self.reusable_run(cell)) for cell in cells]
        reused = [run for _, run in found if run]
        newest = [(cell, run or next(self._finished_runs(cell), None)) for cell, run in found]
        changes = Counter(
            change for cell, run in newest if run for change in self._changed_versions(cell, run.environment)
        )
        use = "reused" if self._any_versions else "run again"
        hosts = Counter(run.session.host for run in reused if run.session and run.session.host != platform.node())
        return [
            *(f"{n} finished cells were computed by {change}: {use}" for change, n in changes.items()),
            *(f"{n} of the reused cells were measured on {host}" for host, n in hosts.items()),
        ]

    def similar_records(self, cell: Cell) -> list[RunRecord]:
        """Return the records of the newest runs with the same engine, dataset and model; at most 20."""
        config = cell.config
        wanted = (config.backend, config.dataset.label, config.model.name)
        newest_first = reversed(self._finished)
        similar = (run for run, found in newest_first if (found.backend, found.dataset, found.model) == wanted)
        records = []
        for directory in itertools.islice(similar, _N_SIMILAR):
            with contextlib.suppress(MlcliError):
                records.append(directory.read_record())
        return records

    def known_outcome(self, cell: Cell, *, retry_failed: bool = False) -> CellOutcome | None:
        """Return the outcome of a cell that need not run: it is refused, has finished or has failed; None otherwise."""
        if cell.refusal:
            return CellOutcome(reason=cell.refusal)
        if run := self.reusable_run(cell):
            return CellOutcome(run)
        if retry_failed:
            return None
        try:
            document = parse_json(read_inside(self.folder(cell), FAILURE, _MOST_FAILURE_BYTES))
            reason = f"{document['reason']} (failed in an earlier call; --retry-failed runs it again)"
            return CellOutcome(reason=reason)
        except (OSError, ValueError, KeyError):
            return None

    def folder(self, cell: Cell) -> Path:
        """Return the folder of a cell, which may not exist."""
        return self.runs_directory / "cells" / cell.digest[:20]


def run_cell(cell: Cell, store: CellStore, executor: Executor) -> CellOutcome:
    """Run a cell in a separate process, or wait for another process that is running it."""
    folder = store.folder(cell)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder / "lock") as descriptor:
            run = store.refreshed_run(cell)
            return CellOutcome(run) if run else _run_process(cell, store, executor, descriptor)
    except OSError as error:
        raise MlcliError(
            f"{error.filename or folder}: {error.strerror or error}\nchoose another directory with --runs-dir"
        ) from error


def _run_process(cell: Cell, store: CellStore, executor: Executor, descriptor: int | None) -> CellOutcome:
    folder = store.folder(cell)
    (folder / FAILURE).unlink(missing_ok=True)
    write_whole(folder / EXPERIMENT, to_yaml(cell.config).encode())
    stopped = store.resumable_run(cell)
    start = time.perf_counter()
    code = executor.run(folder, descriptor, stopped)
    seconds = time.perf_counter() - start
    if code is None:
        return CellOutcome(reason="not run: the comparison was interrupted")
    # The run of a process that was killed after writing its last file is finished too.
    run = store.refreshed_run(cell)
    return CellOutcome(run, wall_seconds=seconds) if run else _failed(folder, code, seconds)


def _failed(folder: Path, code: int, seconds: float) -> CellOutcome:
    """Return why a process left no finished run. A failure is recorded for the next call, an interruption is not."""
    log = folder / LOG
    if code < 0 or code in _INTERRUPTIONS:
        name = signal.Signals(-code).name if code < 0 else ExitCode(code).name
        return CellOutcome(reason=f"interrupted by {name}; the next call runs it again", wall_seconds=seconds)
    reason = (_error_in(log) if code else "it left no run") or f"exit code {code}, see {log}"
    failure = {"schema_version": 1, "exit_code": code, "reason": reason}
    write_whole(folder / FAILURE, to_json(failure).encode())
    return CellOutcome(reason=reason, wall_seconds=seconds)


def _error_in(log: Path) -> str | None:
    """Return the message with which the process ended, on one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("mlcli: ")]
    if not starts:
        return lines[-1].strip() if lines else None
    first = lines[starts[-1]].removeprefix("mlcli: ")
    others = [line.strip() for line in lines[starts[-1] + 1 :] if line.strip()]
    return "; ".join([first, *(line for line in others if "--debug" not in line)])


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """Hold a file lock that child processes inherit; None on systems without such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield None
        return
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()
