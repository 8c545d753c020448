"""The clock: seconds by named part, and of repeated calls, from the monotonic high-resolution timer."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


class Stopwatch:
    """Adds up seconds by part. It starts when it is made; engines return only when their device has finished."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._seconds: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the part `name`, also when it ends in an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self.seconds(name) + time.perf_counter() - started

    def seconds(self, name: str) -> float:
        """Seconds of a part so far; 0 where there was none."""
        return self._seconds.get(name, 0.0)

    @property
    def total_seconds(self) -> float:
        """Seconds since the stopwatch was made."""
        return time.perf_counter() - self._started


def timed_calls(call: Callable[[], T], *, n_calls: int, max_seconds: float) -> tuple[T, list[float]]:
    """The result of the first call, and the seconds of each.

    After the second call no further one is begun once max_seconds have passed.
    """
    started = time.perf_counter()
    result = call()
    seconds = [time.perf_counter() - started]
    while len(seconds) < n_calls and (len(seconds) < 2 or time.perf_counter() - started < max_seconds):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return result, seconds
