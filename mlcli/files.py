"""Atomic writes: a file is written under a temporary name, flushed to the disk and renamed."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import MlcliError, UsageError


def write_whole(target: Path, data: bytes) -> None:
    """Write a file in one step; see `written_whole`. The error states the space needed."""
    with written_whole(target, len(data)) as part:
        part.write_bytes(data)


@contextlib.contextmanager
def written_whole(target: Path, n_bytes: int | None = None) -> Iterator[Path]:
    """Yield the path of a temporary file in the same folder; when the block ends, it is flushed and replaces `target`.

    No reader, and no kill, ever sees half of the file. An existing file stays until the new one is on the disk. When
    the block raises, the temporary file is removed; an OSError in it becomes an MlcliError, see `disk_errors`.
    """
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with disk_errors(target, n_bytes):
        try:
            yield part
            with part.open("r+b") as file:
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


def refuse_existing(path: Path, *, force: bool) -> None:
    """UsageError for an output file that is a folder, or that exists unless `force` is set."""
    if path.is_dir():
        raise UsageError(f"--output {path}: a folder; give the name of a file")
    if path.exists() and not force:
        raise UsageError(f"--output {path}: exists already; add --force to replace it")
