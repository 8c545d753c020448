"""The clock of a run: seconds by named part, from the monotonic high-resolution timer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


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
