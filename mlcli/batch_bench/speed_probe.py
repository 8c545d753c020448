"""How disturbed the machine was: a speed probe next to each sample, and the background load of the whole benchmark."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from mlcli.timing import Clock

# The fastest of a few calls, because the first one finds the cache full of other data; one slow call is enough.
_CALLS = 4
_ENOUGH_SECONDS = 0.002


class SpeedProbe:
    """Times a fixed piece of work before and after every sample."""

    def __init__(self, work: Callable[[], None], clock: Clock) -> None:
        """work: takes a few hundredths of a millisecond and as many threads as the samples."""
        self._work = work
        self._clock = clock
        self._before = 0.0

    def begin(self) -> None:
        """Run the probe before a sequence of samples."""
        self._before = self._seconds()

    def end(self) -> float:
        """Return the slower of the probes before and after the sample that has just ended, in seconds."""
        before, self._before = self._before, self._seconds()
        return max(before, self._before)

    def _seconds(self) -> float:
        seconds = [self._once()]
        while len(seconds) < _CALLS and sum(seconds) < _ENOUGH_SECONDS:
            seconds.append(self._once())
        return min(seconds)

    def _once(self) -> float:
        started = self._clock()
        self._work()
        return self._clock() - started


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
