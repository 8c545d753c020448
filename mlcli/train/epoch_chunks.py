"""One epoch's pass, in parts: long enough to cost nothing, short enough for signals and checkpoints to come between.

The engine leaves the same bits however a pass is cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from mlcli.engines.contract import Engine
from mlcli.errors import DivergedError
from mlcli.records import StepResults
from mlcli.timing import Stopwatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_GROWTH = 8  # from one part to the next, because the first steps say little of the later ones


class PartLength:
    """How many steps the next part has, from the time that the last one took."""

    def __init__(self, part_seconds: float, every_steps: int | None = None) -> None:
        """part_seconds: what a part should take. every_steps: parts end at the multiples of it."""
        self._part_seconds = part_seconds
        self._every_steps = every_steps
        self._n_steps = 1

    def next(self, step: int, n_left: int) -> int:
        """step: taken so far in the run; n_left: of the pass."""
        n_steps = n_left if n_left <= 1.5 * self._n_steps else self._n_steps
        if self._every_steps is None:
            return n_steps
        return min(n_steps, self._every_steps - step % self._every_steps)

    def took(self, n_steps: int, seconds: float) -> None:
        """A part is over."""
        fitting = self._part_seconds * n_steps / seconds if seconds > 0 else math.inf
        self._n_steps = max(1, int(min(fitting, _MOST_GROWTH * max(n_steps, self._n_steps))))


class TrainingPass:
    """The pass of one epoch, from its beginning or from where a checkpoint left it."""

    def __init__(
        self,
        epoch: int,
        order: NDArray[np.int64],
        learning_rates: NDArray[np.float64],
        batch_size: int,
        *,
        batch_losses: NDArray[np.float64] | None = None,
        n_correct: int = 0,
        seconds: float = 0.0,
    ) -> None:
        """batch_losses, n_correct, seconds: of the steps that were taken before."""
        self.epoch = epoch
        self.order = order
        self.n_correct = n_correct
        self.seconds = seconds
        self._learning_rates = learning_rates
        self._batch_size = batch_size
        self._batch_losses = [np.empty(0)] if batch_losses is None else [batch_losses]

    @property
    def batch_losses(self) -> NDArray[np.float64]:
        """Of the steps taken so far, float64 (n,)."""
        return np.concatenate(self._batch_losses)

    @property
    def result(self) -> StepResults:
        """Of the whole pass."""
        starts = np.arange(0, len(self.order), self._batch_size)
        sizes = np.minimum(self._batch_size, len(self.order) - starts)
        return StepResults(self.batch_losses, sizes, self.n_correct)

    def run(self, engine: Engine, watch: Stopwatch, length: PartLength, step: int) -> Iterator[int]:
        """Train, yielding after each part the steps of the pass that are done.

        step: optimizer steps of the run before this pass. DivergedError at the first loss that is not finite.
        """
        n_done, n_steps = len(self.batch_losses), len(self._learning_rates)
        part_name = "first_epoch" if self.epoch == 1 else "remaining_epochs"
        while n_done < n_steps:
            stop = n_done + length.next(step + n_done, n_steps - n_done)
            samples = self.order[n_done * self._batch_size : stop * self._batch_size]
            before = watch.seconds(part_name)
            with watch.part(part_name):
                part = engine.train_steps(samples, self._learning_rates[n_done:stop])
            seconds = watch.seconds(part_name) - before
            self._check_finite(part.batch_losses, n_done)
            length.took(stop - n_done, seconds)
            self._batch_losses.append(part.batch_losses)
            self.n_correct += part.n_correct
            self.seconds += seconds
            n_done = stop
            yield n_done

    def _check_finite(self, losses: NDArray[np.float64], n_before: int) -> None:
        is_bad = ~np.isfinite(losses)
        if is_bad.any():
            index = int(is_bad.argmax())
            raise DivergedError(
                f"the training loss became {losses[index]} in step {n_before + index + 1} of epoch {self.epoch}: the "
                "run diverged\nlower the learning rate (--lr), or look for values in the data that are not finite"
            )
