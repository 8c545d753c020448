"""The epochs of a run: order, learning rates, pass, validation, best epoch, early stopping; for every engine alike."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from mlcli.config.schema import ExperimentConfig, Lbfgs
from mlcli.engines.contract import Engine
from mlcli.errors import DivergedError, UsageError
from mlcli.metrics import score
from mlcli.records import Dataset, EpochRecord, Metrics
from mlcli.timing import Stopwatch
from mlcli.workflows.batch_order import epoch_order
from mlcli.workflows.schedules import learning_rates

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class EpochLoop:
    """Trains a placed engine epoch by epoch; after `run` the engine holds the weights that count.

    The best epoch is the one with the least validation loss (or the highest validation accuracy, where early
    stopping watches that), without validation data the one with the least training loss.
    """

    def __init__(self, config: ExperimentConfig, engine: Engine, dataset: Dataset, watch: Stopwatch) -> None:
        self._config = config
        self._engine = engine
        self._dataset = dataset
        self._watch = watch
        self._stopping = config.training.early_stopping
        self._orders = hashlib.sha256()
        self._best_value = math.inf
        self._best_weights: Mapping[str, NDArray[np.floating]] | None = None
        self._n_done = 0
        self._best_metrics: dict[str, Metrics] = {}
        self.metrics: dict[str, Metrics] = {}  # by split, of the last epoch; after `run`, of the epoch that was kept
        self.best_epoch: int | None = None
        self.note: str | None = None  # what early stopping did, in words

    @property
    def batch_order_digest(self) -> str:
        """sha256 over the orders of the epochs made so far."""
        return self._orders.hexdigest()

    def run(self) -> Iterator[EpochRecord]:
        """Train, yielding the record of each epoch. DivergedError when the loss is no longer finite."""
        n_epochs = self._config.training.epochs or 0
        for epoch in range(1, n_epochs + 1):
            yield self._one_epoch(epoch, n_epochs)
            if self._is_over(epoch):
                break
        self._keep_best()

    def _one_epoch(self, epoch: int, n_epochs: int) -> EpochRecord:
        n_samples = len(self._dataset.train)
        order = epoch_order(self._config.seed, epoch, n_samples)
        self._orders.update(order.tobytes())
        rates = self._learning_rates(epoch, n_epochs)
        part = "first_epoch" if epoch == 1 else "remaining_epochs"
        before = self._watch.seconds(part)
        with self._watch.part(part):
            result = self._engine.train_steps(order, rates)
        seconds = self._watch.seconds(part) - before
        _check_finite(result.loss, epoch)
        self._n_done = epoch
        self.metrics["train"] = Metrics(result.accuracy, result.loss, n_samples)
        validation = self._validate()
        return EpochRecord(
            epoch=epoch,
            learning_rate=float(rates[-1]),
            train_loss=result.loss,
            train_accuracy=result.accuracy,
            validation_loss=validation.loss if validation else None,
            validation_accuracy=validation.accuracy if validation else None,
            seconds=seconds,
            samples_per_second=n_samples / seconds,
            is_best=self._is_new_best(epoch, result.loss, validation),
        )

    def _learning_rates(self, epoch: int, n_epochs: int) -> NDArray[np.float64]:
        config = self._config
        if config.optimizer is None or isinstance(config.optimizer, Lbfgs):
            raise UsageError("training in passes needs an optimizer with a learning rate: sgd, adam, adamw or rmsprop")
        n_steps = math.ceil(len(self._dataset.train) / (config.training.batch_size or 1))
        return learning_rates(config.schedule, config.optimizer.lr, epoch=epoch, n_epochs=n_epochs, n_steps=n_steps)

    def _validate(self) -> Metrics | None:
        split = self._dataset.validation
        if split is None:
            return None
        with self._watch.part("validate"):
            metrics = score(self._engine.predict(split.x), split.y)
        self.metrics["validation"] = metrics
        return metrics

    def _is_new_best(self, epoch: int, train_loss: float, validation: Metrics | None) -> bool:
        value = train_loss
        if validation is not None:
            by_accuracy = self._stopping is not None and self._stopping.monitor == "validation_accuracy"
            value = -validation.accuracy if by_accuracy or validation.loss is None else validation.loss
        if value >= self._best_value - (self._stopping.min_delta if self._stopping else 0.0):
            return False
        self._best_value, self.best_epoch, self._best_metrics = value, epoch, dict(self.metrics)
        if self._stopping is not None and self._stopping.restore_best:
            self._best_weights = self._engine.weights()
        return True

    def _is_over(self, epoch: int) -> bool:
        if self._stopping is None or self.best_epoch is None or epoch - self.best_epoch < self._stopping.patience:
            return False
        self.note = f"stopped early after epoch {epoch}: {self._stopping.monitor} was best in epoch {self.best_epoch}"
        return True

    def _keep_best(self) -> None:
        if self._best_weights is None or self.best_epoch == self._n_done:
            return
        self._engine.load_weights(self._best_weights)
        self.metrics = self._best_metrics
        kept = f"the weights are those of epoch {self.best_epoch}"
        self.note = f"{self.note}; {kept}" if self.note else f"{kept}, the best"


def _check_finite(loss: float, epoch: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"the training loss became {loss} in epoch {epoch}: the run diverged\n"
            "lower the learning rate (--lr), or look for values in the data that are not finite"
        )
