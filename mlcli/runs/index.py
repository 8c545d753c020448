"""Summaries of the runs in a directory, kept in the user's cache so that thousands of runs need not be read each time.

The cache only saves time: a summary counts as long as the file that it was made from has the inode, the size and the
times that it had then. Any process may replace the cache at any moment, or delete it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Self

from platformdirs import user_cache_path
from pydantic import TypeAdapter, ValidationError

from mlcli.errors import MlcliError
from mlcli.files import write_whole
from mlcli.records import RunRecord, RunSummary
from mlcli.runs.directory import CONFIG, METRICS, RunDirectory
from mlcli.untrusted import read_inside

_N_READ_FIRST = 200  # runs that are read before the cache is: reading them takes as long
_N_WORTH_KEEPING = 1000  # new summaries before the cache is written
_MAX_BYTES = 2**28
_Entries = dict[str, tuple[str, RunSummary]]  # by run id: the state of the file, and the summary
_adapter: Callable[[], TypeAdapter[Any]] = cache(lambda: TypeAdapter(tuple[int, _Entries]))
_VERSION = 1


class RunIndex:
    """The summaries of the runs in one directory; a context in which they are read, and kept at its end."""

    def __init__(self, runs_directory: Path, describe: Callable[[RunDirectory], RunRecord]) -> None:
        """describe: returns the record of a run in any state; MlcliError where it cannot be read."""
        self.runs_directory = runs_directory
        self._describe = describe
        self._cached: _Entries | None = None
        self._new: _Entries = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if len(self._new) >= _N_WORTH_KEEPING:
            self._write()

    def summary(self, run_id: str) -> RunSummary:
        """Return the summary of a run; MlcliError if it is not in the cache and cannot be read."""
        state = self._state(run_id)
        entry = self._new.get(run_id) or self._entries().get(run_id)
        if entry is None or entry[0] != state:
            entry = state, RunSummary.of(self._describe(RunDirectory(self.runs_directory / run_id)))
            self._new[run_id] = entry
        return entry[1]

    def _state(self, run_id: str) -> str:
        """Return what changes whenever the file changes that tells most about a run."""
        for name in (METRICS, CONFIG):
            with contextlib.suppress(OSError):
                status = os.stat(f"{self.runs_directory}/{run_id}/{name}")
                return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"
        return ""

    def _entries(self) -> _Entries:
        if self._cached is None:
            if len(self._new) < _N_READ_FIRST:
                return {}
            self._cached = self._read()
        return self._cached

    def _read(self) -> _Entries:
        path = _path(self.runs_directory)
        if path is None:
            return {}
        try:
            version, entries = _adapter().validate_json(read_inside(path.parent, path.name, _MAX_BYTES))
        except (OSError, ValueError, ValidationError):
            return {}
        return entries if version == _VERSION else {}

    def _write(self) -> None:
        path = _path(self.runs_directory)
        if path is None:
            return
        with contextlib.suppress(OSError, MlcliError):
            present = set(os.listdir(self.runs_directory))
            merged = {**(self._read() if self._cached is None else self._cached), **self._new}
            # A name with bytes that do not decode cannot be written as JSON.
            kept = {name: entry for name, entry in merged.items() if name in present and name.isprintable()}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps([_VERSION, kept], separators=(",", ":")).encode())


def _path(runs_directory: Path) -> Path | None:
    """Return the file with the summaries of a directory; None without a cache folder."""
    try:
        folder = user_cache_path("mlcli", appauthor=False) / "run-index"
    except (RuntimeError, OSError, KeyError):  # a user without a home
        return None
    return folder / f"{hashlib.sha256(os.fsencode(os.path.realpath(runs_directory))).hexdigest()[:16]}.json"
