"""Training in passes, with a checkpoint now and then, and one when the program is told to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mlcli import interruption
from mlcli.config.schema import ExperimentConfig
from mlcli.engines.contract import Engine
from mlcli.records import Dataset, EpochRecord
from mlcli.runs.checkpoint import Checkpoint
from mlcli.runs.checkpoint_folder import CheckpointFolder, FoundCheckpoint
from mlcli.workflows.checkpointing import Checkpointer, CheckpointEvery
from mlcli.workflows.epochs import EpochLoop
from mlcli.workflows.run_progress import RunProgress
from mlcli.workflows.training_pass import PartLength


class TrainingInPasses:
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
        with interruption.deferred():
            for record in self._epochs():
                if record is not None:
                    on_epoch(record)
                position = self._loop.position
                self._checkpointer.offer(position, at_epoch_end=record is not None)
                if interruption.is_pending():
                    self._checkpointer.write(position)
                    interruption.check()
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
