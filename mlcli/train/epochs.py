"""The epochs of a run: order, learning rates, pass, validation, best epoch, early stopping; for every engine alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mlcli.config.schema import ExperimentConfig, Lbfgs
from mlcli.engines.contract import Engine, Weights
from mlcli.errors import UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.metrics import score
from mlcli.records import Dataset, EpochRecord, Metrics
from mlcli.runs.checkpoint import Checkpoint, Position
from mlcli.timing import Stopwatch
from mlcli.train.epoch_chunks import PartLength, TrainingPass

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EpochLoop:
    """Trains a placed engine epoch by epoch; after `run` the engine holds the weights that count.

    The best epoch is the one with the least validation loss (or the highest validation accuracy, where early
    stopping watches that), without validation data the one with the least training loss.
    """

    def __init__(
        self, config: ExperimentConfig, engine: Engine, dataset: Dataset, watch: Stopwatch, length: PartLength
    ) -> None:
        self._config = config
        self._engine = engine
        self._dataset = dataset
        self._watch = watch
        self._length = length
        self._stopping = config.training.early_stopping
        self._n_epochs = config.training.epochs or 0
        self._batch_size = config.training.batch_size or 1
        self._pass: TrainingPass | None = None
        self._position = Position()
        self.best_weights: Weights | None = None  # kept where early stopping may need them
        self.note: str | None = None  # what early stopping did, in words

    @property
    def position(self) -> Position:
        """How far training is; between two parts of a pass, of what was done of it."""
        if self._pass is None:
            return self._position
        n_done = len(self._pass.batch_losses)
        step = self._position.step + n_done
        return replace(self._position, step=step, n_correct=self._pass.n_correct, pass_seconds=self._pass.seconds)

    @property
    def batch_losses(self) -> NDArray[np.float64]:
        """Of the epoch under way, float64 (n,)."""
        import numpy as np

        return np.empty(0) if self._pass is None else self._pass.batch_losses

    def batch_order_digest(self) -> str:
        """sha256 over the orders of the epochs made so far."""
        orders = hashlib.sha256()
        for record in self._position.history:
            orders.update(self._order(record.epoch).tobytes())
        return orders.hexdigest()

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Continue where a checkpoint was made; the engine has its weights and its state already."""
        position, losses = checkpoint.position, checkpoint.batch_losses
        self._position = replace(position, step=position.step - len(losses), n_correct=0, pass_seconds=0.0)
        self.best_weights = checkpoint.best_weights
        if len(losses):
            self._pass = self._new_pass(
                batch_losses=losses, n_correct=position.n_correct, seconds=position.pass_seconds
            )

    def run(self) -> Iterator[EpochRecord | None]:
        """Train, yielding the record of each epoch, and None after each part of a pass but the last.

        DivergedError when the loss is no longer finite.
        """
        while not self._is_over():
            under_way = self._pass or self._new_pass()
            self._pass = under_way
            n_steps = math.ceil(len(self._dataset.train) / self._batch_size)
            for n_done in under_way.run(self._engine, self._watch, self._length, self._position.step):
                if n_done < n_steps:
                    yield None
            yield self._end_of(under_way, n_steps)
        self._keep_best()

    def _new_pass(
        self, *, batch_losses: NDArray[np.float64] | None = None, n_correct: int = 0, seconds: float = 0.0
    ) -> TrainingPass:
        epoch = len(self._position.history) + 1
        return TrainingPass(
            epoch,
            self._order(epoch),
            self._learning_rates(epoch),
            self._batch_size,
            batch_losses=batch_losses,
            n_correct=n_correct,
            seconds=seconds,
        )

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self._config.seed, epoch, len(self._dataset.train))

    def _learning_rates(self, epoch: int) -> NDArray[np.float64]:
        config = self._config
        if config.optimizer is None or isinstance(config.optimizer, Lbfgs):
            raise UsageError("training in passes needs an optimizer with a learning rate: sgd, adam, adamw or rmsprop")
        n_steps = math.ceil(len(self._dataset.train) / self._batch_size)
        lr = config.optimizer.lr
        return learning_rates(config.schedule, lr, epoch=epoch, n_epochs=self._n_epochs, n_steps=n_steps)

    def _end_of(self, under_way: TrainingPass, n_steps: int) -> EpochRecord:
        result, n_samples = under_way.result, len(self._dataset.train)
        metrics = {"train": Metrics(result.accuracy, result.loss, n_samples)} | self._validate()
        validation = metrics.get("validation")
        before = self._position
        position = replace(before, step=before.step + n_steps, metrics=metrics)
        value = self._value(result.loss, validation)
        is_best = self._is_better(value)
        if is_best:
            position = replace(position, best_epoch=under_way.epoch, best_value=value, best_metrics=metrics)
            if self._stopping is not None and self._stopping.restore_best:
                self.best_weights = self._engine.weights()
        record = EpochRecord(
            epoch=under_way.epoch,
            learning_rate=float(self._learning_rates(under_way.epoch)[-1]),
            train_loss=result.loss,
            train_accuracy=result.accuracy,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            seconds=under_way.seconds,
            samples_per_second=n_samples / under_way.seconds,
            is_best=is_best,
        )
        self._position = replace(position, history=(*before.history, record))
        self._pass = None
        return record

    def _validate(self) -> dict[str, Metrics]:
        split = self._dataset.validation
        if split is None:
            return {}
        with self._watch.part("validate"):
            return {"validation": score(self._engine.predict(split.x), split.y)}

    def _value(self, train_loss: float, validation: Metrics | None) -> float:
        """What decides which epoch is best, lower is better."""
        if validation is None:
            return train_loss
        by_accuracy = self._stopping is not None and self._stopping.monitor == "validation_accuracy"
        return -validation.accuracy if by_accuracy or validation.loss is None else validation.loss

    def _is_better(self, value: float) -> bool:
        best = self._position.best_value
        return best is None or value < best - (self._stopping.min_delta if self._stopping else 0.0)

    def _is_over(self) -> bool:
        position, stopping = self._position, self._stopping
        epoch = len(position.history)
        if position.is_over or epoch >= self._n_epochs:
            return True
        if stopping is None or position.best_epoch is None or epoch - position.best_epoch < stopping.patience:
            return False
        self.note = f"stopped early after epoch {epoch}: {stopping.monitor} was best in epoch {position.best_epoch}"
        return True

    def _keep_best(self) -> None:
        position = self._position
        self._position = replace(position, is_over=True)
        if position.is_over or self.best_weights is None or position.best_epoch == len(position.history):
            return
        self._engine.load_weights(self.best_weights)
        self._position = replace(self._position, metrics=position.best_metrics)
        kept = f"the weights are those of epoch {position.best_epoch}"
        self.note = f"{self.note}; {kept}" if self.note else f"{kept}, the best"
