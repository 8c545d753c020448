"""The file of `--log-file`: what a command says on stderr, with the time of each line. There is one per process."""

from __future__ import annotations

import contextlib
from datetime import datetime
from pathlib import Path
from typing import TextIO

from mlcli.files import disk_errors

_file: TextIO | None = None


def open_log(path: Path) -> None:
    """Append to this file from now on; MlcliError if it cannot be opened."""
    global _file
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _file = path.open("a", encoding="utf-8", errors="backslashreplace", buffering=1)


def is_open() -> bool:
    """Return whether there is a log file."""
    return _file is not None


def log(text: str) -> None:
    """Add lines to the log file if there is one; a full disk loses them, but stops nothing."""
    if _file is not None:
        stamp = datetime.now().astimezone().isoformat(timespec="seconds")
        with contextlib.suppress(OSError):
            _file.writelines(f"{stamp} {line}\n" for line in text.splitlines() if line.strip())
