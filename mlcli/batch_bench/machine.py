"""The machine: the reset of the peak memory, a limit before the kernel kills a process, load by other processes."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mlcli.memory import container_bytes_left, process_status_bytes


def start_memory_watch() -> bool:
    """Reset the peak resident memory of this process; return whether the system can do that (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def limit_to_available_memory() -> None:
    """Make allocations beyond the memory that is free now fail (Linux), so that they become a row of the table.

    Otherwise the kernel grants them, and kills a process of its choice when they are used.
    """
    if sys.platform != "linux":
        return
    import resource

    import psutil

    in_use = process_status_bytes("VmData")
    if in_use is None:
        return
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    limit = in_use + min(psutil.virtual_memory().available, container_bytes_left())
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_DATA, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


class BackgroundLoad:
    """Processor time of the whole machine since its creation, without this process and those that are measured."""

    def __init__(self, cpu_seconds: Sequence[Callable[[], float]] = ()) -> None:
        """cpu_seconds: for each measured process a function that returns its processor time so far."""
        self._cpu_seconds = cpu_seconds
        self._started = time.perf_counter()
        self._before = self._others()

    def busy_cores(self) -> float:
        """Return the average number of cores that other processes kept busy."""
        seconds = time.perf_counter() - self._started
        return max(0.0, (self._others() - self._before) / seconds) if seconds else 0.0

    def _others(self) -> float:
        import psutil

        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
        # Guest time is counted in user time too.
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        this = os.times()
        measured = sum(seconds() for seconds in self._cpu_seconds)
        return sum(times) - guest - idle - this.user - this.system - measured


def current_busy_cores(seconds: float = 1.0) -> float:
    """Return how many cores other processes keep busy now. seconds: duration of the observation."""
    load = BackgroundLoad()
    time.sleep(seconds)
    return load.busy_cores()
