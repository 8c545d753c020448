"""The right to write into a run directory: of one process at a time, and gone with it however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.errors import MlcliError
from mlcli.files import disk_errors

if TYPE_CHECKING:
    from filelock import BaseFileLock

# Hidden, so that neither is taken for an artifact of the run.
_LOCK, _HOLDER = ".lock", ".holder.json"


class RunLock:
    """Held from `take` to `release`, or to the end of the process."""

    def __init__(self, path: Path, lock: BaseFileLock) -> None:
        self._path = path
        self._lock = lock

    @classmethod
    def acquire(cls, path: Path) -> RunLock:
        """MlcliError, naming the process, where another one holds the run."""
        from filelock import FileLock, Timeout

        lock = FileLock(path / _LOCK, timeout=0)
        with disk_errors(path / _LOCK):
            try:
                lock.acquire()
            except Timeout as error:  # an OSError too
                raise MlcliError(
                    f"run {path.name} is held by {_holder(path)}, which still writes to it\n"
                    "wait until that process is over, or stop it, before resuming the run"
                ) from error
        since = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
        holder = {"process": os.getpid(), "host": platform.node(), "since": since}
        with contextlib.suppress(OSError):  # it only helps the message above
            (path / _HOLDER).write_text(json.dumps(holder) + "\n", encoding="utf-8")
        return cls(path, lock)

    def release(self) -> None:
        """Let others take the run. The lock file goes too: whoever waits for it finds a run that has ended."""
        for name in (_HOLDER, _LOCK):
            with contextlib.suppress(OSError):
                (self._path / name).unlink(missing_ok=True)
        self._lock.release()


def _holder(path: Path) -> str:
    try:
        holder: dict[str, Any] = json.loads((path / _HOLDER).read_text(encoding="utf-8"))
        return f"process {int(holder['process'])} on {str(holder['host'])!r} since {str(holder['since'])!r}"
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return "another process"
