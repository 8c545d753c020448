"""Repeated timing of one piece of work, with a speed probe next to every sample."""

from __future__ import annotations

import math
from collections.abc import Callable

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


class RepeatedTiming:
    """Times one piece of work: a first call, a warm-up until the times are stable, then samples.

    A sample is the mean over calls_per_sample consecutive calls, enough to last block_seconds, so that the fixed cost
    of a block, reading the clock included, has little weight. All times are seconds per call in the order in which
    they were taken.
    """

    def __init__(self, block: Callable[[int], float], block_seconds: float, probe: SpeedProbe) -> None:
        """block: does the work n times and returns the seconds. probe: is timed next to every sample."""
        self._block = block
        self._block_seconds = block_seconds
        self._probe = probe
        self.first_call_seconds: float | None = None
        self.calls_per_sample = 1
        self.warmup_seconds = 0.0
        self.samples: list[float] = []
        self.probes: list[float] = []  # one per sample

    def warm_up(self, max_seconds: float, tolerance: float = 0.05) -> None:
        """Make the first call, find calls_per_sample, and repeat until the times are stable.

        Stable means that three blocks in a row differ by less than a fraction `tolerance`; the warm-up also ends after
        max_seconds. If a single call takes longer than that, the second call is already the first sample.
        """
        self.first_call_seconds = self._block(1)
        recent: list[float] = []
        while len(recent) < 3 or max(recent[-3:]) > (1 + tolerance) * min(recent[-3:]):
            self._probe.begin()
            seconds = self._block(self.calls_per_sample)
            if self.calls_per_sample == 1 and seconds >= max(max_seconds, self._block_seconds):
                self._keep(seconds)
                return
            self.warmup_seconds += seconds
            recent.append(seconds)
            if seconds < self._block_seconds:
                self._lengthen(seconds)
                recent.clear()
            elif self.warmup_seconds >= max_seconds:
                return

    def rewarm(self, max_seconds: float) -> None:
        """Repeat the work after other work, for at most one sample and max_seconds; longer calls are not repeated."""
        last = self.samples[-1] if self.samples else math.inf
        n_calls = min(self.calls_per_sample, int(max_seconds / last)) if last else self.calls_per_sample
        if n_calls:
            self.warmup_seconds += self._block(n_calls)

    def sample(self, seconds: float, max_samples: int | None = None) -> None:
        """Take samples, at least one, for this many seconds and at most max_samples."""
        total, n_taken = 0.0, 0
        self._probe.begin()
        while not n_taken or (total < seconds and (max_samples is None or n_taken < max_samples)):
            taken = self._block(self.calls_per_sample)
            self._keep(taken)
            total, n_taken = total + taken, n_taken + 1

    def _keep(self, seconds: float) -> None:
        """Keep a sample. seconds: of all its calls."""
        self.probes.append(self._probe.end())
        self.samples.append(seconds / self.calls_per_sample)

    def _lengthen(self, seconds: float) -> None:
        """Raise calls_per_sample after a block of `seconds`: to 1.2 block_seconds, at most tenfold."""
        factor = min(1.2 * self._block_seconds / seconds, 10.0) if seconds > 0 else 10.0
        self.calls_per_sample = max(self.calls_per_sample + 1, math.ceil(self.calls_per_sample * factor))
