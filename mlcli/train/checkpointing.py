"""When a checkpoint is made, and what must be true of it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from mlcli import signals
from mlcli.config.schema import ExperimentConfig
from mlcli.engines.contract import Engine, Weights
from mlcli.errors import DivergedError, UsageError
from mlcli.records import Dataset, EpochRecord
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder, FoundCheckpoint, Position
from mlcli.train.epoch_chunks import PartLength
from mlcli.train.epochs import EpochLoop
from mlcli.train.run_progress import RunProgress

PART_SECONDS = 1.0  # for which an engine trains on at the most before a signal is served
_LEAST_SECONDS = 1.0  # between two checkpoints, where nothing else is asked for
_SECONDS_WITHIN_EPOCHS = 60.0
_TIMES_ITS_COST = 100  # a checkpoint is due when so many times what one takes have passed: 1 %
_EVERY = re.compile(r"([0-9]+)\s*(steps?|epochs?|s|min|h)")
_SECONDS = {"s": 1, "min": 60, "h": 3600}


@dataclass(frozen=True)
class CheckpointEvery:
    """How often. auto: at ends of epochs, and within them every minute, never for more than 1 % of the time."""

    unit: Literal["auto", "never", "steps", "epochs", "seconds"] = "auto"
    n: int = 1

    @property
    def n_steps(self) -> int | None:
        """The steps between two checkpoints, where steps are what counts."""
        return self.n if self.unit == "steps" else None

    @property
    def part_seconds(self) -> float:
        """How long a part of a pass may take, so that none comes late."""
        return min(PART_SECONDS, float(self.n)) if self.unit == "seconds" else PART_SECONDS


AUTO = CheckpointEvery()


def parse_checkpoint_every(text: str) -> CheckpointEvery:
    """What was meant by e.g. 500steps, 60s, 10min, 1epoch, auto or never; UsageError for anything else."""
    if text == "auto":
        return CheckpointEvery("auto")
    if text == "never":
        return CheckpointEvery("never")
    match = _EVERY.fullmatch(text.strip())
    if match is None or int(match[1]) == 0:
        raise UsageError(
            f"--checkpoint-every {text!r}: give a number above 0 of steps, epochs, s, min or h, "
            "e.g. 500steps, 1epoch, 60s; or auto, or never"
        )
    n, unit = int(match[1]), match[2]
    if unit in _SECONDS:
        return CheckpointEvery("seconds", n * _SECONDS[unit])
    return CheckpointEvery("steps" if unit.startswith("step") else "epochs", n)


class Checkpointer:
    """Makes the checkpoints of one run, each when it is due."""

    def __init__(self, folder: CheckpointFolder, every: CheckpointEvery, make: Callable[[], Checkpoint]) -> None:
        """make: the checkpoint of this moment, called between two parts of a pass."""
        self._folder = folder
        self._every = every
        self._make = make
        self._last_seconds = time.perf_counter()
        self._cost_seconds = 0.0
        self._written: Position | None = None

    def offer(self, position: Position, *, at_epoch_end: bool) -> None:
        """Make one if it is due."""
        if self._is_due(position, at_epoch_end=at_epoch_end):
            self.write(position)

    def write(self, position: Position) -> None:
        """Make one, unless this position has one already.

        DivergedError where weights are not finite: such are never kept. MlcliError where it cannot be written.
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
        passed = time.perf_counter() - self._last_seconds
        match every.unit:
            case "never":
                return False
            case "steps":
                return position.step % every.n == 0
            case "epochs":
                return at_epoch_end and len(position.history) % every.n == 0
            case "seconds":
                return passed >= every.n
            case "auto":
                least = _LEAST_SECONDS if at_epoch_end else _SECONDS_WITHIN_EPOCHS
                return passed >= max(least, _TIMES_ITS_COST * self._cost_seconds)


def check_finite(weights: Weights, step: int) -> None:
    """DivergedError where a weight is NaN or infinite after so many steps."""
    import numpy as np

    for name, array in weights.items():
        if not np.isfinite(array).all():
            raise DivergedError(
                f"weight {name} is no longer finite after step {step}: the run diverged\n"
                "lower the learning rate (--lr), or look for values in the data that are not finite"
            )


class IterativeTraining:
    """Of a placed engine, from the beginning or from a checkpoint whose weights and state the engine has already."""

    def __init__(
        self,
        config: ExperimentConfig,
        engine: Engine,
        dataset: Dataset,
        progress: RunProgress,
        folder: CheckpointFolder,
        every: CheckpointEvery,
        found: FoundCheckpoint | None,
    ) -> None:
        self._engine = engine
        self._progress = progress
        length = PartLength(every.part_seconds, every.n_steps)
        self._loop = EpochLoop(config, engine, dataset, progress.watch, length)
        if found and found.checkpoint:
            self._loop.go_on_from(found.checkpoint)
        self._checkpointer = Checkpointer(folder, every, self._checkpoint)

    @property
    def n_steps(self) -> int:
        """Optimizer steps taken."""
        return self._loop.position.step

    def run(self, on_epoch: Callable[[EpochRecord], None]) -> str | None:
        """Train to the end; returns what early stopping did, in words. Interrupted when the program is told to stop."""
        # A part of a pass is not broken off, so that a checkpoint can be made of where it ends.
        with signals.deferred():
            for record in self._epochs():
                if record is not None:
                    on_epoch(record)
                position = self._loop.position
                self._checkpointer.offer(position, at_epoch_end=record is not None)
                if signals.is_pending():
                    self._checkpointer.write(position)
                    signals.check()
        self._progress.digests["batch_order"] = self._loop.batch_order_digest()
        return self._loop.note

    def _epochs(self) -> Iterator[EpochRecord | None]:
        """Those of the loop; the progress of the run follows them."""
        for record in self._loop.run():
            self._follow()
            yield record
        self._follow()

    def _follow(self) -> None:
        position = self._loop.position
        self._progress.best_epoch = position.best_epoch
        self._progress.metrics = dict(position.metrics)

    def keep_end(self) -> None:
        """Where training is over, and only then, make a checkpoint of that."""
        if self._loop.position.is_over:
            self._checkpointer.write(self._loop.position)

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            position=self._loop.position,
            batch_losses=self._loop.batch_losses,
            weights=self._engine.weights(),
            engine=self._engine.state(),
            best_weights=self._loop.best_weights,
            run=self._progress.so_far(),
        )
