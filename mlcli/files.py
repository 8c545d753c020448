"""Atomic writes: a file is written under a temporary name, flushed to the disk and renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import MlcliError


def write_whole(target: Path, data: bytes) -> None:
    """Put a file in place in one step, so that no reader, and no kill, ever meets half of it.

    What is there already stays until the new content is on the disk. MlcliError where it cannot be written, with the
    space that it takes; no part is left then.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk_errors(target, len(data)):
        try:
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(target)
        finally:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
    _sync_folder(target.parent)


def sweep_parts(folder: Path) -> None:
    """Delete the temporary files of killed processes. No other process may be writing to the folder."""
    for part in folder.glob(".*.part"):
        with contextlib.suppress(OSError):
            part.unlink()


@contextlib.contextmanager
def disk_errors(target: Path, n_bytes: int | None = None) -> Iterator[None]:
    """Raise MlcliError, with the path and the space needed, in place of an OSError."""
    try:
        yield
    except OSError as error:
        needed = f" ({n_bytes:,} bytes are needed)" if n_bytes is not None else ""
        raise MlcliError(f"{target}: cannot be written: {error.strerror or error}{needed}") from error


def _sync_folder(path: Path) -> None:
    """Make a rename durable, if the system can open a folder for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
