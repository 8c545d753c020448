"""Clocks: seconds of the named parts of a run, and repeated timing of one piece of work with its raw samples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")
Clock = Callable[[], float]


class Stopwatch:
    """Adds up seconds by part. It starts when it is made; engines return only when their device has finished."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._before_seconds = 0.0
        self._seconds: dict[str, float] = {}

    def add_earlier(self, total_seconds: float, seconds_by_part: Mapping[str, float]) -> None:
        """Count time that was spent before this stopwatch was made, as by the process whose work goes on here."""
        self._before_seconds += total_seconds
        for name, seconds in seconds_by_part.items():
            self._seconds[name] = self.seconds(name) + seconds

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
        """Seconds since the stopwatch was made, and those added."""
        return self._before_seconds + time.perf_counter() - self._started

    @property
    def seconds_by_part(self) -> dict[str, float]:
        """Seconds of every part so far."""
        return dict(self._seconds)


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


def clock_resolution_seconds(clock: Clock = time.perf_counter, n_steps: int = 100) -> float:
    """The smallest step that this clock was seen to make, its own reading included."""
    steps = []
    for _ in range(n_steps):
        before = after = clock()
        while after == before:
            after = clock()
        steps.append(after - before)
    return min(steps)


class Witness(Protocol):
    """Says how fast the machine was while samples were taken: by a reference, the seconds that a piece of work takes
    which is always the same."""

    def begin(self) -> None:
        """Samples follow, one after the other."""
        ...

    def end(self, seconds: float) -> float:
        """A sample is over, whose calls took so many seconds together: the reference that goes with it."""
        ...


class _NoWitness:
    def begin(self) -> None:
        return None

    def end(self, seconds: float) -> float:
        return 0.0


class RepeatedTiming:
    """Times one piece of work again and again: a first call, a warm-up until the times are stable, then samples.

    A sample is the mean over calls_per_sample consecutive calls, as many as it takes to outlast block_seconds, so that
    what a block of calls pays once, reading the clock included, weighs little. All times are seconds per call, kept in
    the order in which they were taken, and with each sample the reference of a witness.
    """

    def __init__(self, block: Callable[[int], float], block_seconds: float, witness: Witness | None = None) -> None:
        """block: does the work so many times and returns the seconds that took."""
        self._block = block
        self._block_seconds = block_seconds
        self._witness = witness or _NoWitness()
        self.first_call_seconds: float | None = None
        self.calls_per_sample = 1
        self.warmup_calls = 0
        self.warmup_total_seconds = 0.0
        self.samples: list[float] = []
        self.references: list[float] = []  # one a sample, 0 without a witness

    def warm_up(self, most_seconds: float, tolerance: float = 0.05) -> None:
        """Make the first call, find calls_per_sample, and go on until three blocks in a row differ by less than a share
        `tolerance`, or most_seconds have passed.

        Work whose single call outlasts most_seconds is not repeated for nothing: its second call is the first sample.
        """
        self.first_call_seconds = self._block(1)
        recent: list[float] = []
        while len(recent) < 3 or max(recent[-3:]) > (1 + tolerance) * min(recent[-3:]):
            self._witness.begin()
            seconds = self._block(self.calls_per_sample)
            if self.calls_per_sample == 1 and seconds >= max(most_seconds, self._block_seconds):
                self._keep(seconds)
                return
            self._count_warmup(self.calls_per_sample, seconds)
            recent.append(seconds)
            if seconds < self._block_seconds:
                self._lengthen(seconds)
                recent.clear()
            elif self.warmup_total_seconds >= most_seconds:
                return

    def rewarm(self, most_seconds: float) -> None:
        """Repeat the work, after other work, for at most a sample and most_seconds; where one call takes longer, not at
        all."""
        last = self.samples[-1] if self.samples else math.inf
        n_calls = min(self.calls_per_sample, int(most_seconds / last)) if last else self.calls_per_sample
        if n_calls:
            self._count_warmup(n_calls, self._block(n_calls))

    def sample(self, seconds: float, most_samples: int | None = None) -> None:
        """Take samples for so many seconds, or so many of them: at least one."""
        total, n_taken = 0.0, 0
        self._witness.begin()
        while not n_taken or (total < seconds and (most_samples is None or n_taken < most_samples)):
            taken = self._block(self.calls_per_sample)
            self._keep(taken)
            total, n_taken = total + taken, n_taken + 1

    def _keep(self, seconds: float) -> None:
        """seconds: of all calls of a sample."""
        self.references.append(self._witness.end(seconds))
        self.samples.append(seconds / self.calls_per_sample)

    def _count_warmup(self, n_calls: int, seconds: float) -> None:
        self.warmup_calls += n_calls
        self.warmup_total_seconds += seconds

    def _lengthen(self, seconds: float) -> None:
        """More calls for a block that took `seconds`: toward a fifth above block_seconds, at most tenfold at once."""
        factor = min(1.2 * self._block_seconds / seconds, 10.0) if seconds > 0 else 10.0
        self.calls_per_sample = max(self.calls_per_sample + 1, math.ceil(self.calls_per_sample * factor))
