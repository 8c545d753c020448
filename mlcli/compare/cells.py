"""The cells of a matrix on disk and as processes.

    <runs>/cells/<digest>/experiment.yaml   what is run
                          result.json       stdout of the process
                          log.txt           its stderr
                          lock              held as long as the process lives
                          failure.json      why it failed; until it is tried again

The runs themselves lie in the runs directory as all others do, and a cell is finished when a finished run of exactly
its experiment is there. The lock is inherited by the process: a cell whose compare was killed runs on, and the next
compare waits for it instead of repeating it. A cell that was itself stopped goes on from its checkpoint.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlcli.compare.matrix import Cell
from mlcli.config.dump import to_yaml
from mlcli.errors import ExitCode, MlcliError
from mlcli.files import write_whole
from mlcli.records import RunRecord
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_runs
from mlcli.text import to_json
from mlcli.train.resume import stopped_run
from mlcli.untrusted import parse_json, read_inside

EXPERIMENT, RESULT, LOG = "experiment.yaml", "result.json", "log.txt"
_MOST_FAILURE_BYTES = 2**20
_INTERRUPTIONS = (ExitCode.SIGINT, ExitCode.SIGTERM)


class Executor(Protocol):
    """Where the processes of cells run."""

    def run(self, folder: Path, environment: Mapping[str, str], lock: int | None, stopped: Path | None) -> int | None:
        """Run EXPERIMENT in the folder of a cell into RESULT and LOG there, the run into the runs directory.

        lock: a file descriptor that the process keeps open. stopped: a run of this experiment that was stopped and has
        a checkpoint; an executor that can reach it goes on with it. Returns the exit code, negative for a signal; None
        where nothing was started because `stop` was called.
        """
        ...

    def stop(self) -> None:
        """Tell every process to stop, wait until it has written down how far it came, and start no other."""
        ...


@dataclass(frozen=True)
class FinishedRun:
    """A finished run and its record."""

    directory: RunDirectory
    record: RunRecord


@dataclass(frozen=True)
class CellOutcome:
    """How a cell ended. wall_seconds: of its process; None where it was there already or failed before."""

    cell: Cell
    finished: FinishedRun | None
    reason: str | None = None
    wall_seconds: float | None = None
    is_interrupted: bool = False  # killed from outside: no fault of the cell, and it is run again by the next call


class FinishedRuns:
    """The finished runs below a directory by experiment; the newest of each. The record of a finished run is read
    once; any other may still become one."""

    def __init__(self, runs_directory: Path) -> None:
        self._runs_directory = runs_directory
        self._by_digest: dict[str, FinishedRun] = {}
        self._seen: set[str] = set()
        self._lock = threading.Lock()

    def find(self, digest: str) -> FinishedRun | None:
        """The run of this experiment, looking also at what has come since the last call."""
        with self._lock:
            self._look()
            return self._by_digest.get(digest)

    def all(self) -> list[FinishedRun]:
        """Every finished run of an experiment that is the newest of its kind."""
        with self._lock:
            self._look()
            return list(self._by_digest.values())

    def _look(self) -> None:
        for directory in reversed(list(find_runs(self._runs_directory))):
            if directory.run_id in self._seen or not directory.has_record():
                continue
            with contextlib.suppress(MlcliError):
                record = directory.read_record()
                if record.status == "finished":
                    self._seen.add(directory.run_id)
                    self._by_digest[record.digests.get("experiment", "")] = FinishedRun(directory, record)


class CellRunner:
    """Runs cells in fresh processes, one experiment never twice at once."""

    def __init__(self, runs_directory: Path, executor: Executor) -> None:
        self._runs_directory = runs_directory
        self._executor = executor
        self._finished = FinishedRuns(runs_directory)

    @property
    def finished(self) -> FinishedRuns:
        return self._finished

    def known(self, cell: Cell, *, retry_failed: bool = False) -> CellOutcome | None:
        """The outcome of a cell that need not be run: refused, finished before, or failed before."""
        if cell.refusal:
            return CellOutcome(cell, None, cell.refusal)
        finished = self._finished.find(cell.digest)
        if finished:
            return CellOutcome(cell, finished)
        failure = None if retry_failed else self._recorded_failure(cell)
        return CellOutcome(cell, None, failure) if failure else None

    def run(self, cell: Cell, environment: Mapping[str, str] | None = None) -> CellOutcome:
        """Run a cell, or take the result of another process that is at it. environment: variables of its process."""
        folder = self._folder(cell)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _locked(folder / "lock") as descriptor:
                finished = self._finished.find(cell.digest)
                if finished:
                    return CellOutcome(cell, finished)
                return self._run_process(cell, folder, descriptor, environment or {})
        except OSError as error:
            raise MlcliError(
                f"{error.filename or folder}: {error.strerror or error}\nchoose another place with --runs-dir"
            ) from error

    def stop(self) -> None:
        """End every process and start no other."""
        self._executor.stop()

    def _folder(self, cell: Cell) -> Path:
        return self._runs_directory / "cells" / cell.digest[:20]

    def _run_process(
        self, cell: Cell, folder: Path, descriptor: int | None, environment: Mapping[str, str]
    ) -> CellOutcome:
        (folder / "failure.json").unlink(missing_ok=True)
        write_whole(folder / EXPERIMENT, to_yaml(cell.config).encode())
        stopped = stopped_run(cell.config, cell.digest, self._runs_directory)
        start = time.perf_counter()
        code = self._executor.run(folder, environment, descriptor, stopped)
        seconds = time.perf_counter() - start
        if code is None:
            return CellOutcome(cell, None, "not run: the comparison was stopped", None, is_interrupted=True)
        # A process that is killed after its last file was written has finished all the same.
        finished = self._finished.find(cell.digest)
        if finished:
            return CellOutcome(cell, finished, None, seconds)
        return self._failed(cell, folder, code, seconds)

    def _failed(self, cell: Cell, folder: Path, code: int, seconds: float) -> CellOutcome:
        log = folder / LOG
        if code < 0 or code in _INTERRUPTIONS:
            name = signal.Signals(-code).name if code < 0 else ExitCode(code).name
            return CellOutcome(cell, None, f"stopped by {name}; the next call runs it again", seconds, True)
        reason = _error_in(log) if code else "left no run"
        reason = reason or f"exit code {code}, see {log}"
        failure = {"schema_version": 1, "exit_code": code, "reason": reason}
        write_whole(folder / "failure.json", to_json(failure).encode())
        return CellOutcome(cell, None, reason, seconds)

    def _recorded_failure(self, cell: Cell) -> str | None:
        try:
            document = parse_json(read_inside(self._folder(cell), "failure.json", _MOST_FAILURE_BYTES))
            return f"{document['reason']} (failed before; --retry-failed tries it again)"
        except (OSError, ValueError, KeyError):
            return None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """Hold a file lock that child processes share; None on systems without such locks."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield None
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _error_in(log: Path) -> str | None:
    """The message with which the process ended, on one line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("mlcli: ")]
    if not starts:
        return lines[-1].strip() if lines else None
    first = lines[starts[-1]].removeprefix("mlcli: ")
    others = [line.strip() for line in lines[starts[-1] + 1 :] if line.strip()]
    return "; ".join([first, *(line for line in others if "--debug" not in line)])
