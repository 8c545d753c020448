"""The memory that is left to this process, and arrays that lie in mapped files instead of it."""

from __future__ import annotations

import contextlib
import mmap
import sys
from pathlib import Path
from typing import Any

_MAX_MAPPED_BYTES = 128 * 2**20
BYTES_PER_ROW = 2**20  # that the system may map around a row read at random


def available_bytes() -> int:
    """Return the bytes that this process may still use: of the machine, its container and its own limit."""
    import psutil

    return min(psutil.virtual_memory().available, container_bytes_left(), _own_bytes_left())


def container_bytes_left(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that the limit of a container leaves; a huge number without a limit."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - used)


def _own_bytes_left() -> int:
    """Return what `ulimit -d` leaves; a huge number without a limit."""
    try:
        import resource
    except ImportError:
        return sys.maxsize
    limit, used = resource.getrlimit(resource.RLIMIT_DATA)[0], process_status_bytes("VmData")
    return sys.maxsize if limit == resource.RLIM_INFINITY or used is None else max(0, limit - used)


def process_status_bytes(name: str) -> int | None:
    """Return a size in the status of this process, such as "VmHWM", in bytes; None if the system has no such file."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
    return None


def mapping_of(array: Any) -> mmap.mmap | None:
    """Return the mapped file in which a numpy array lies; None for one in memory."""
    while array is not None:
        if isinstance(array, mmap.mmap):
            return array
        array = getattr(array, "base", None)
    return None


class MappedPages:
    """Gives the memory of arrays in read-only mapped files back to the system from time to time, as they are read."""

    def __init__(self) -> None:
        self._n_bytes = 0

    def was_read(self, array: Any, n_bytes: int | None = None) -> None:
        """Count what was read of an array, as pages in memory; None: all of it. Its content stays in the file."""
        self._n_bytes += array.nbytes if n_bytes is None else n_bytes
        if self._n_bytes < _MAX_MAPPED_BYTES:
            return
        self._n_bytes = 0
        mapped = mapping_of(array)
        if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
            mapped.madvise(mmap.MADV_DONTNEED)
