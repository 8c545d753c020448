"""How busy other programs keep the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class Bystanders:
    """Processor time of the whole machine since this was made, less that of the processes that are measured."""

    def __init__(self, cpu_seconds: Sequence[Callable[[], float]]) -> None:
        """cpu_seconds: of each process to leave out, the processor time it has used so far."""
        self._cpu_seconds = cpu_seconds
        self._started = time.perf_counter()
        self._before = self._others()

    def busy_cores(self) -> float:
        """Cores that were kept busy by others, on average."""
        seconds = time.perf_counter() - self._started
        return max(0.0, (self._others() - self._before) / seconds) if seconds else 0.0

    def _others(self) -> float:
        import os

        import psutil

        times = psutil.cpu_times()
        idle = times.idle + getattr(times, "iowait", 0.0) + getattr(times, "steal", 0.0)
        # Guest time is counted in user time too.
        guest = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        own = os.times()
        return sum(times) - guest - idle - own.user - own.system - sum(seconds() for seconds in self._cpu_seconds)


def busy_cores_now(seconds: float = 1.0) -> float:
    """Cores that other programs want at this moment, watched for so many seconds."""
    bystanders = Bystanders(())
    time.sleep(seconds)
    return bystanders.busy_cores()
