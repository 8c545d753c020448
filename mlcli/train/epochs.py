"""Training, the same for every engine: the epoch loop with its checkpoints and early stopping, or a single fit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from mlcli import signals
from mlcli.config.schema import Lbfgs
from mlcli.engines.contract import Engine, Weights
from mlcli.errors import UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.metrics.scores import score
from mlcli.records import Dataset, EpochRecord, Metrics
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder, Position
from mlcli.train.checkpointing import Checkpointer, CheckpointEvery
from mlcli.train.epoch_chunks import ChunkLength, EpochChunks
from mlcli.train.run_progress import RunProgress

if TYPE_CHECKING:
    from numpy.typing import NDArray


class EpochLoop:
    """Trains a placed engine epoch by epoch; after `run` the engine holds the final weights.

    The best epoch is the one with the lowest validation loss (or the highest validation accuracy, where early
    stopping monitors that), without validation data the one with the lowest training loss.
    """

    def __init__(
        self, engine: Engine, dataset: Dataset, progress: RunProgress, folder: CheckpointFolder, every: CheckpointEvery
    ) -> None:
        """progress: its position moves on with each epoch, and it gets the digest of the batch order."""
        self._config = progress.plan.config
        self._engine = engine
        self._dataset = dataset
        self._progress = progress
        self._stopping = self._config.training.early_stopping
        self._n_epochs = self._config.training.epochs or 0
        self._batch_size = self._config.training.batch_size or 1
        self._chunk_length = ChunkLength(every.chunk_seconds, every.n_steps)
        self._checkpointer = Checkpointer(folder, every, self._checkpoint)
        self._epoch: EpochChunks | None = None  # the one under way
        self._best_weights: Weights | None = None  # kept where early stopping may restore them
        self.note: str | None = None  # what early stopping did

    @property
    def position(self) -> Position:
        """How far training has come, the finished steps of the epoch under way included."""
        last, epoch = self._progress.position, self._epoch
        if epoch is None:
            return last
        return replace(last, step=last.step + epoch.n_done, n_correct=epoch.n_correct, pass_seconds=epoch.seconds)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint, whose weights and state the engine has already."""
        position, losses = checkpoint.position, checkpoint.batch_losses
        last = replace(position, step=position.step - len(losses), n_correct=0, pass_seconds=0.0)
        self._progress.position = last
        self._best_weights = checkpoint.best_weights
        if len(losses):
            self._epoch = self._start_epoch()
            self._epoch.restore(checkpoint)

    def run(self) -> Iterator[EpochRecord]:
        """Train to the end, yielding the record of each epoch.

        Checkpoints are written between chunks when they are due. DivergedError when the loss or a weight is no longer
        finite; Interrupted, after one more checkpoint, when a signal has arrived.
        """
        while not self._is_over():
            self._epoch = epoch = self._epoch or self._start_epoch()
            while epoch.n_done < epoch.n_steps:
                n_steps = self._chunk_length.next(self.position.step, epoch.n_steps - epoch.n_done)
                self._chunk_length.adapt(n_steps, epoch.train(self._engine, self._progress.watch, n_steps))
                if epoch.n_done < epoch.n_steps:
                    self._between_chunks(at_epoch_end=False)
            yield self._end_epoch(epoch)
            self._between_chunks(at_epoch_end=True)
        self._finish()

    def keep_end(self) -> None:
        """Write a checkpoint if training is over, so that a resumed run need not train again."""
        if self.position.is_over:
            self._checkpointer.write(self.position)

    def _between_chunks(self, *, at_epoch_end: bool) -> None:
        self._checkpointer.write_if_due(self.position, at_epoch_end=at_epoch_end)
        if signals.is_pending():
            self._checkpointer.write(self.position)
            signals.check()

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            position=self.position,
            batch_losses=self._epoch.batch_losses if self._epoch else np.empty(0),
            weights=self._engine.weights(),
            engine=self._engine.state(),
            best_weights=self._best_weights,
            run=self._progress.so_far(),
        )

    def _start_epoch(self) -> EpochChunks:
        epoch = len(self._progress.position.history) + 1
        return EpochChunks(epoch, self._order(epoch), self._learning_rates(epoch), self._batch_size)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self._config.seed, epoch, len(self._dataset.train))

    def _learning_rates(self, epoch: int) -> NDArray[np.float64]:
        config = self._config
        if config.optimizer is None or isinstance(config.optimizer, Lbfgs):
            raise UsageError("iterative training needs an optimizer with a learning rate: sgd, adam, adamw or rmsprop")
        n_steps = math.ceil(len(self._dataset.train) / self._batch_size)
        lr = config.optimizer.lr
        return learning_rates(config.schedule, lr, epoch=epoch, n_epochs=self._n_epochs, n_steps=n_steps)

    def _end_epoch(self, epoch: EpochChunks) -> EpochRecord:
        result, n_samples = epoch.result, len(self._dataset.train)
        metrics = {"train": Metrics(result.accuracy, result.loss, n_samples)} | self._validate()
        validation = metrics.get("validation")
        last = self._progress.position
        position = replace(last, step=last.step + epoch.n_steps, metrics=metrics)
        value = self._monitored(result.loss, validation)
        is_best = self._is_better(value)
        if is_best:
            position = replace(position, best_epoch=epoch.epoch, best_value=value, best_metrics=metrics)
            if self._stopping is not None and self._stopping.restore_best:
                self._best_weights = self._engine.weights()
        record = EpochRecord(
            epoch=epoch.epoch,
            learning_rate=float(self._learning_rates(epoch.epoch)[-1]),
            train_loss=result.loss,
            train_accuracy=result.accuracy,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            seconds=epoch.seconds,
            samples_per_second=n_samples / epoch.seconds,
            is_best=is_best,
        )
        self._epoch = None
        self._progress.position = replace(position, history=(*position.history, record))
        return record

    def _validate(self) -> dict[str, Metrics]:
        split = self._dataset.validation
        if split is None:
            return {}
        with self._progress.watch.part("validate"):
            return {"validation": score(self._engine.predict(split.x), split.y)}

    def _monitored(self, train_loss: float, validation: Metrics | None) -> float:
        """Return the value that decides which epoch is best; lower is better."""
        if validation is None:
            return train_loss
        by_accuracy = self._stopping is not None and self._stopping.monitor == "validation_accuracy"
        return -validation.accuracy if by_accuracy or validation.loss is None else validation.loss

    def _is_better(self, value: float) -> bool:
        best = self._progress.position.best_value
        return best is None or value < best - (self._stopping.min_delta if self._stopping else 0.0)

    def _is_over(self) -> bool:
        position, stopping = self._progress.position, self._stopping
        epoch = len(position.history)
        if position.is_over or epoch >= self._n_epochs:
            return True
        if stopping is None or position.best_epoch is None or epoch - position.best_epoch < stopping.patience:
            return False
        self.note = f"stopped early after epoch {epoch}: {stopping.monitor} was best in epoch {position.best_epoch}"
        return True

    def _finish(self) -> None:
        """Restore the best weights if early stopping asks for it, and record the order of all batches."""
        position = self._progress.position
        final = replace(position, is_over=True)
        is_last_best = position.best_epoch == len(position.history)
        if not position.is_over and self._best_weights is not None and not is_last_best:
            self._engine.load_weights(self._best_weights)
            final = replace(final, metrics=position.best_metrics)
            restored = f"the weights are those of epoch {position.best_epoch}"
            self.note = f"{self.note}; {restored}" if self.note else f"{restored}, the best"
        self._progress.position = final
        orders = hashlib.sha256()
        for record in position.history:
            orders.update(self._order(record.epoch).tobytes())
        self._progress.digests["batch_order"] = orders.hexdigest()


def single_fit(engine: Engine, dataset: Dataset, progress: RunProgress) -> tuple[EpochRecord, str | None]:
    """Fit a placed engine without epochs and score training and validation data.

    Returns the one row of the history, and a note if the solver did not converge.
    """
    watch = progress.watch
    with watch.part("first_epoch"):
        result = engine.fit()
    seconds = watch.seconds("first_epoch")
    with watch.part("validate"):
        train = score(engine.predict(dataset.train.x), dataset.train.y)
        metrics = {"train": train}
        if dataset.validation is not None:
            metrics["validation"] = score(engine.predict(dataset.validation.x), dataset.validation.y)
    validation = metrics.get("validation")
    record = EpochRecord(
        epoch=1,
        learning_rate=None,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        seconds=seconds,
        samples_per_second=len(dataset.train) / seconds,
        is_best=True,
    )
    progress.position = Position(history=(record,), metrics=metrics)
    note = f"the solver stopped after {result.n_iterations} iterations, before it converged"
    return record, note if result.converged is False else None
