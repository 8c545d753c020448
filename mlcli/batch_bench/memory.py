"""The memory of this process: the most it had resident, and a limit that acts before the kernel kills a process."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path


def start_memory_watch() -> bool:
    """Reset the peak of resident memory; return whether the system can do that (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def peak_memory_bytes() -> int | None:
    """Return the peak of resident memory since the watch began; None where the system does not tell."""
    return _status_bytes("VmHWM")


def limit_to_available_memory() -> None:
    """Make allocations beyond the memory that is free now fail (Linux), so that they become a row of the table.

    Otherwise the kernel grants them, and kills a process of its choice when they are used.
    """
    if sys.platform != "linux":
        return
    import resource

    import psutil

    in_use = _status_bytes("VmData")
    if in_use is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = in_use + min(psutil.virtual_memory().available, _container_memory_left())
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _status_bytes(name: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)


def _container_memory_left(group: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the bytes that the limit of a container leaves; a huge number without a limit."""
    try:
        limit = (group / "memory.max").read_text(encoding="ascii").strip()
        used = int((group / "memory.current").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return sys.maxsize
    return sys.maxsize if limit == "max" else max(0, int(limit) - used)
