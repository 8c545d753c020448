"""Clocks: seconds of the named parts of a run, and the times of a few repeated calls."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import median
from typing import TypeVar

T = TypeVar("T")
Clock = Callable[[], float]
_MOST_UNEVEN = 2.0  # the longest of equal pieces of work relative to the shortest
_LEAST_SECONDS = 0.5  # by which the two differ; short pieces are uneven for many reasons


class Stopwatch:
    """Adds up seconds by part. It starts when it is created."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self.seconds_by_part: dict[str, float] = {}

    def add_earlier(self, total_seconds: float, seconds_by_part: Mapping[str, float]) -> None:
        """Add time that was spent before this stopwatch was created, as by the process whose run is resumed."""
        self._started -= total_seconds
        for name, seconds in seconds_by_part.items():
            self.seconds_by_part[name] = self.seconds(name) + seconds

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the part `name`, also if it ends in an error."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds_by_part[name] = self.seconds(name) + time.perf_counter() - started

    def seconds(self, name: str) -> float:
        """Return the seconds of a part so far; 0 for an unknown part."""
        return self.seconds_by_part.get(name, 0.0)

    @property
    def total_seconds(self) -> float:
        """Seconds since the stopwatch was created, plus those added."""
        return time.perf_counter() - self._started


def timed_calls(call: Callable[[], T], *, n_calls: int, max_seconds: float) -> tuple[T, list[float]]:
    """Return the result of the first call and the seconds of each call.

    After the second call, no further one begins once max_seconds have passed.
    """
    started = time.perf_counter()
    result = call()
    seconds = [time.perf_counter() - started]
    while len(seconds) < n_calls and (len(seconds) < 2 or time.perf_counter() - started < max_seconds):
        before = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - before)
    return result, seconds


def unevenness(seconds: Sequence[float]) -> str | None:
    """Return as text how uneven the durations of equal pieces of work are; None if they are even.

    Uneven: the longest takes more than twice as long as the shortest, and at least half a second longer. The shortest
    is the measure, not the median, because background load that lasts for most of the time changes the median.
    """
    if not seconds or max(seconds) <= _MOST_UNEVEN * min(seconds) or max(seconds) - min(seconds) < _LEAST_SECONDS:
        return None
    return f"{min(seconds):.2g} to {max(seconds):.2g} s, median {median(seconds):.2g} s"
