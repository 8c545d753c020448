"""One epoch of training in chunks of steps: long enough to cost nothing, short enough for signals and checkpoints.

The result does not depend on how an epoch is chunked.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mlcli.engines.contract import Engine
from mlcli.errors import DivergedError
from mlcli.records import StepResults
from mlcli.runs.checkpoint import Checkpoint
from mlcli.timing import Stopwatch

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MAX_GROWTH = 8  # of the next chunk, because the first steps are not typical of later ones


class ChunkLength:
    """The number of steps of the next chunk, estimated from the time that the last one took."""

    def __init__(self, chunk_seconds: float, every_steps: int | None = None) -> None:
        """chunk_seconds: duration to aim at. every_steps: chunks end at the multiples of this number of steps."""
        self._chunk_seconds = chunk_seconds
        self._every_steps = every_steps
        self._n_steps = 1

    def next(self, step: int, n_left: int) -> int:
        """Return the length of the next chunk. step: steps of the run so far; n_left: steps left of the epoch."""
        n_steps = n_left if n_left <= 1.5 * self._n_steps else self._n_steps
        if self._every_steps is None:
            return n_steps
        return min(n_steps, self._every_steps - step % self._every_steps)

    def adapt(self, n_steps: int, seconds: float) -> None:
        """Adapt to the duration of a chunk that has just been trained."""
        fitting = self._chunk_seconds * n_steps / seconds if seconds > 0 else math.inf
        self._n_steps = max(1, int(min(fitting, _MAX_GROWTH * max(n_steps, self._n_steps))))


class EpochChunks:
    """The steps of one epoch, trained chunk by chunk, from the beginning or from a checkpoint."""

    def __init__(
        self,
        epoch: int,
        order: NDArray[np.int64],
        learning_rates: NDArray[np.float64],
        batch_size: int,
    ) -> None:
        self.epoch = epoch
        self.n_correct = 0
        self.seconds = 0.0
        self._order = order
        self._learning_rates = learning_rates
        self._batch_size = batch_size
        self._batch_losses = [np.empty(0)]

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue after the steps that a checkpoint within this epoch has already."""
        self._batch_losses = [checkpoint.batch_losses]
        self.n_correct = checkpoint.position.n_correct
        self.seconds = checkpoint.position.pass_seconds

    @property
    def n_steps(self) -> int:
        """Steps of the whole epoch."""
        return len(self._learning_rates)

    @property
    def n_done(self) -> int:
        """Steps trained so far."""
        return sum(map(len, self._batch_losses))

    @property
    def batch_losses(self) -> NDArray[np.float64]:
        """Loss of each step so far, float64 (n_done,), nats per sample."""
        return np.concatenate(self._batch_losses)

    @property
    def result(self) -> StepResults:
        """Results of the whole epoch, once all its steps are trained."""
        starts = np.arange(0, len(self._order), self._batch_size)
        sizes = np.minimum(self._batch_size, len(self._order) - starts)
        return StepResults(self.batch_losses, sizes, self.n_correct)

    def train(self, engine: Engine, watch: Stopwatch, n_steps: int) -> float:
        """Train the next n_steps and return the seconds that took; DivergedError for a loss that is not finite."""
        start, stop = self.n_done, self.n_done + n_steps
        samples = self._order[start * self._batch_size : stop * self._batch_size]
        part = "first_epoch" if self.epoch == 1 else "remaining_epochs"
        before = watch.seconds(part)
        with watch.part(part):
            results = engine.train_steps(samples, self._learning_rates[start:stop])
        seconds = watch.seconds(part) - before
        self._check_finite(results.batch_losses)
        self._batch_losses.append(results.batch_losses)
        self.n_correct += results.n_correct
        self.seconds += seconds
        return seconds

    def _check_finite(self, losses: NDArray[np.float64]) -> None:
        is_bad = ~np.isfinite(losses)
        if is_bad.any():
            index = int(is_bad.argmax())
            raise DivergedError(
                f"the training loss became {losses[index]} in step {self.n_done + index + 1} of epoch {self.epoch}: "
                "the run diverged\nlower the learning rate (--lr), or look for values in the data that are not finite"
            )
