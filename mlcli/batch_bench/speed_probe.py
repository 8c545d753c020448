"""How fast the machine was while a sample was taken."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Protocol

from mlcli.timing import Clock

# The fastest of a few, because the first finds the cache full of other things; where one takes so long, it is enough.
_CALLS = 4
_ENOUGH_SECONDS = 0.002


class Waits(Protocol):
    """How long the threads of this process have waited for a core that others had."""

    def look_for_threads(self) -> None: ...

    def seconds(self) -> float: ...


class Witness:
    """Times a reference, work that is always the same, before and after a sample. What of the sample's own time its
    threads waited for a core, the reference is lengthened by: others that take turns with it may well stand still while
    so little is done."""

    def __init__(self, work: Callable[[], None], clock: Clock, waits: Waits) -> None:
        """work: takes a few hundredths of a millisecond, and all threads that samples take."""
        self._work = work
        self._clock = clock
        self._waits = waits
        self._before = self._waited = 0.0

    def begin(self) -> None:
        """Samples follow, one after the other."""
        self._waits.look_for_threads()
        self._before = self._seconds()
        self._waited = self._waits.seconds()

    def end(self, seconds: float) -> float:
        """A sample is over, whose calls took so many seconds together: the reference that goes with it."""
        waited = self._waits.seconds() - self._waited
        before, self._before = self._before, self._seconds()
        self._waited = self._waits.seconds()
        return max(before, self._before) * (1 + waited / seconds if seconds else 1.0)

    def _seconds(self) -> float:
        seconds = [self._once()]
        while len(seconds) < _CALLS and sum(seconds) < _ENOUGH_SECONDS:
            seconds.append(self._once())
        return min(seconds)

    def _once(self) -> float:
        started = self._clock()
        self._work()
        return self._clock() - started


class ThreadWaits:
    """From the scheduler's accounts (Linux); elsewhere no wait is known."""

    def __init__(self) -> None:
        self._accounts: dict[str, int] = {}

    def look_for_threads(self) -> None:
        """Open the accounts of threads that are new. They stay open, because a sample may take 2 ms."""
        for thread in os.listdir("/proc/self/task") if sys.platform == "linux" else ():
            if thread not in self._accounts:
                try:
                    self._accounts[thread] = os.open(f"/proc/self/task/{thread}/schedstat", os.O_RDONLY)
                except OSError:
                    return  # a thread that has just ended, or a kernel that keeps no accounts

    def seconds(self) -> float:
        """The second number of each account, in nanoseconds."""
        return 1e-9 * sum(_waited_nanoseconds(account) for account in self._accounts.values())


def _waited_nanoseconds(account: int) -> int:
    try:
        return int(os.pread(account, 100, 0).split()[1])
    except (OSError, IndexError):
        return 0  # the thread has ended


class NoWaits:
    """Where threads outnumber cores they wait for one another, and that is part of what is measured."""

    def look_for_threads(self) -> None:
        return None

    def seconds(self) -> float:
        return 0.0
