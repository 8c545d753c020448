"""The lock of a run directory: one process at a time may write into it, and the lock ends with the process."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, Timeout

from mlcli.errors import MlcliError
from mlcli.files import disk_errors
from mlcli.untrusted import parse_json, read_inside

# Hidden, so that neither is listed in the manifest of the run. The second name is that of earlier versions.
_LOCK, _OWNER = ".lock", ".holder.json"
_MAX_OWNER_BYTES = 10_000


class RunLock:
    """An acquired lock. It lasts until `release`, or until the process ends in any way."""

    def __init__(self, path: Path, lock: BaseFileLock) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def acquire(cls, path: Path) -> RunLock:
        """Lock a run directory; MlcliError, naming the process, if another one has locked it."""
        lock = FileLock(path / _LOCK, timeout=0)
        with disk_errors(path / _LOCK):
            try:
                lock.acquire()
            except Timeout as error:  # an OSError too
                raise MlcliError(
                    f"run {path.name} is locked by {_owner(path)}\n"
                    "wait until that process has ended, or stop it, before resuming the run"
                ) from error
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        owner = {"process": os.getpid(), "host": platform.node(), "since": since}
        with contextlib.suppress(OSError):  # it only improves the message above
            (path / _OWNER).write_text(json.dumps(owner) + "\n", encoding="utf-8")
        return cls(path, lock)

    def release(self) -> None:
        """Unlock the run and delete the lock file: a process that waits for it finds a run that has ended."""
        for name in (_OWNER, _LOCK):
            with contextlib.suppress(OSError):
                (self._path / name).unlink(missing_ok=True)
        self._lock.release()


def _owner(path: Path) -> str:
    try:
        owner = parse_json(read_inside(path, _OWNER, _MAX_OWNER_BYTES))
        return f"process {int(owner['process'])} on {str(owner['host'])!r} since {str(owner['since'])!r}"
    except (OSError, ValueError, TypeError, KeyError):
        return "another process"
