"""When a checkpoint is due, how long the engine trains between two chances for one, and that weights are finite."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from mlcli import signals
from mlcli.engines.contract import Weights
from mlcli.errors import DivergedError, UsageError
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder, Position

_CHUNK_SECONDS = 0.5  # the time that an engine trains before progress is shown; shorter chunks slow Keras down
_MAX_GROWTH = 8  # of the next chunk, because the first steps are not typical of later ones
_MIN_SECONDS = 1.0  # between two checkpoints at ends of epochs, unless an interval is given
_SECONDS_WITHIN_EPOCHS = 60.0
_COST_FACTOR = 100  # a checkpoint is due after 100 times the time that writing one takes: 1 % overhead at most
_EVERY = re.compile(r"([0-9]+)\s*(steps?|epochs?|s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class CheckpointEvery:
    """The interval between checkpoints. auto: at ends of epochs and every minute, for at most 1 % of the time."""

    unit: Literal["auto", "never", "steps", "epochs", "seconds"] = "auto"
    n: int = 1


AUTO = CheckpointEvery()


def parse_checkpoint_every(text: str) -> CheckpointEvery:
    """Return the interval of a text such as 500steps, 60s, 10min, 1epoch, auto or never; UsageError for others."""
    if text == "auto":
        return AUTO
    if text == "never":
        return CheckpointEvery("never")
    match = _EVERY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(
            f"--checkpoint-every {text!r}: expected a number above 0 of steps, epochs, s, min or h, "
            "e.g. 500steps, 1epoch, 60s; or auto, or never"
        )
    n, unit = int(match[1]), match[2]
    if unit in _SECONDS:
        return CheckpointEvery("seconds", n * _SECONDS[unit])
    return CheckpointEvery("steps" if unit.startswith("step") else "epochs", n)


class ChunkLength:
    """The number of steps of the next chunk of an epoch, estimated from the time that the last one took.

    A chunk is long enough to cost nothing, and short enough that signals and checkpoints need not wait.
    """

    def __init__(self, every: CheckpointEvery) -> None:
        self._every_steps = every.n if every.unit == "steps" else None
        self._n_steps = 1

    def next(self, step: int, n_left: int) -> int:
        """Return the length of the next chunk. step: steps of the run so far; n_left: steps left of the epoch."""
        n_steps = n_left if n_left <= 1.5 * self._n_steps else self._n_steps
        if self._every_steps is None:
            return n_steps
        return min(n_steps, self._every_steps - step % self._every_steps)

    def adapt(self, n_steps: int, seconds: float) -> None:
        """Adapt to the duration of a chunk that has just been trained."""
        fitting = _CHUNK_SECONDS * n_steps / seconds if seconds > 0 else math.inf
        self._n_steps = max(1, int(min(fitting, _MAX_GROWTH * max(n_steps, self._n_steps))))


class Checkpointer:
    """Writes the checkpoints of one run when they are due."""

    def __init__(self, folder: CheckpointFolder, every: CheckpointEvery, make: Callable[[], Checkpoint]) -> None:
        """make: returns a checkpoint of the present state of training."""
        self._folder = folder
        self._every = every
        self._make = make
        self._last_seconds = time.perf_counter()
        self._cost_seconds = 0.0
        self._written: Position | None = None

    def write_if_due(self, position: Position, *, at_epoch_end: bool) -> None:
        """Write a checkpoint if the interval since the last one is over; raises what `write` raises."""
        if self._is_due(position, at_epoch_end=at_epoch_end):
            self.write(position)

    def write(self, position: Position) -> None:
        """Write a checkpoint, unless there is one of this position.

        DivergedError for weights that are not finite, which are never stored; MlcliError where writing fails.
        """
        if position == self._written:
            return
        started = time.perf_counter()
        with signals.shielded():
            checkpoint = self._make()
            check_finite(checkpoint.weights, position.step)
            self._folder.write(checkpoint)
        self._last_seconds = time.perf_counter()
        self._cost_seconds = self._last_seconds - started
        self._written = position

    def _is_due(self, position: Position, *, at_epoch_end: bool) -> bool:
        every = self._every
        elapsed = time.perf_counter() - self._last_seconds
        match every.unit:
            case "never":
                return False
            case "steps":
                return position.step % every.n == 0
            case "epochs":
                return at_epoch_end and len(position.history) % every.n == 0
            case "seconds":
                return elapsed >= every.n
            case "auto":
                interval = _MIN_SECONDS if at_epoch_end else _SECONDS_WITHIN_EPOCHS
                return elapsed >= max(interval, _COST_FACTOR * self._cost_seconds)


def check_finite(weights: Weights, step: int) -> None:
    """DivergedError where a weight is NaN or infinite. step: the steps taken so far."""
    import numpy as np

    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise DivergedError(
                f"weight {name} is no longer finite after step {step}: the run diverged\n"
                "lower the learning rate (--lr), or look for values in the data that are not finite"
            )
