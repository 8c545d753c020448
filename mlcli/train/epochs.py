"""Training, the same for every engine: the epoch loop with its checkpoints and early stopping, or a single fit."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mlcli import signals
from mlcli.config.schema import Lbfgs
from mlcli.data.preprocessing import take
from mlcli.engines.contract import Engine, Weights
from mlcli.errors import DivergedError, UsageError
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.metrics.scores import full_score, largest_class, score
from mlcli.records import Dataset, EpochProgress, EpochRecord, Metrics, StepResults
from mlcli.registry import ITERATIVE_OPTIMIZERS, METRICS, MONITORS, alternatives
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder, Position
from mlcli.timing import Stopwatch
from mlcli.train.checkpointing import Checkpointer, CheckpointEvery, ChunkLength
from mlcli.train.run_progress import RunProgress

MOST_SCORED_BY_ESTIMATORS = 2_000  # training samples


@dataclass
class EpochChunks:
    """The steps of one epoch, trained chunk by chunk, from the beginning or from a checkpoint.

    The result does not depend on how an epoch is chunked.
    """

    epoch: int
    order: NDArray[np.int64]  # (n_samples,), of the whole epoch
    learning_rates: NDArray[np.float64]  # (n_steps,)
    batch_size: int
    batch_losses: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))  # (n_done,), nats per sample
    n_correct: int = 0
    seconds: float = 0.0

    @property
    def n_left(self) -> int:
        """Steps that are still to be trained."""
        return len(self.learning_rates) - len(self.batch_losses)

    @property
    def result(self) -> StepResults:
        """Results of the steps that are trained, of which there is at least one."""
        n_samples = min(len(self.order), len(self.batch_losses) * self.batch_size)
        return StepResults.from_batches(self.batch_losses, n_samples, self.batch_size, self.n_correct)

    def train(self, engine: Engine, watch: Stopwatch, n_steps: int) -> float:
        """Train the next n_steps and return the seconds that took; DivergedError for a loss that is not finite."""
        start, stop = len(self.batch_losses), len(self.batch_losses) + n_steps
        samples = self.order[start * self.batch_size : stop * self.batch_size]
        part = "first_epoch" if self.epoch == 1 else "remaining_epochs"
        before = watch.seconds(part)
        with watch.part(part):
            results = engine.train_steps(samples, self.learning_rates[start:stop])
        seconds = watch.seconds(part) - before
        self._check_finite(results.batch_losses)
        self.batch_losses = np.append(self.batch_losses, results.batch_losses)
        self.n_correct += results.n_correct
        self.seconds += seconds
        return seconds

    def _check_finite(self, losses: NDArray[np.float64]) -> None:
        is_bad = ~np.isfinite(losses)
        if is_bad.any():
            index = int(is_bad.argmax())
            raise DivergedError(
                f"the training loss became {losses[index]} in step {len(self.batch_losses) + index + 1} of epoch "
                f"{self.epoch}: the run diverged\n"
                "lower the learning rate (--lr), or look for values in the data that are not finite"
            )


class EpochLoop:
    """Trains a placed engine epoch by epoch; after `run` the engine holds the final weights.

    The best epoch is the one with the lowest validation loss, or the best value of the metric that early stopping
    monitors. Without validation there is none.
    """

    def __init__(
        self,
        engine: Engine,
        dataset: Dataset,
        progress: RunProgress,
        folder: CheckpointFolder,
        every: CheckpointEvery,
        on_steps: Callable[[EpochProgress], None] = lambda _: None,
        log: Callable[[str], None] = lambda text: None,
    ) -> None:
        """progress: its position moves on with each epoch, and it gets the digest of the batch order.

        on_steps: called after each chunk of an epoch. log: receives a line for each checkpoint that a signal asked for.
        """
        self._config = progress.plan.config
        self._engine = engine
        self._dataset = dataset
        self._progress = progress
        self._stopping = self._config.training.early_stopping
        self._n_epochs = self._config.training.epochs or 0
        self._batch_size = self._config.training.batch_size or 1
        self._chunk_length = ChunkLength(every)
        self._checkpointer = Checkpointer(folder, every, self._checkpoint)
        self._on_steps = on_steps
        self._log = log
        self._epoch: EpochChunks | None = None  # the one under way
        self._best_weights: Weights | None = None  # kept where early stopping may restore them
        self.note: str | None = None  # what early stopping did

    @property
    def position(self) -> Position:
        """How far training has come, the finished steps of the epoch under way included."""
        last, epoch = self._progress.position, self._epoch
        if epoch is None:
            return last
        step = last.step + len(epoch.batch_losses)
        return replace(last, step=step, n_correct=epoch.n_correct, pass_seconds=epoch.seconds)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint, whose weights and state the engine has already."""
        position, losses = checkpoint.position, checkpoint.batch_losses
        self._progress.position = replace(position, step=position.step - len(losses), n_correct=0, pass_seconds=0.0)
        self._best_weights = checkpoint.best_weights
        if len(losses):
            self._epoch = self._start_epoch()
            self._epoch.batch_losses = losses
            self._epoch.n_correct = position.n_correct
            self._epoch.seconds = position.pass_seconds

    def run(self) -> Iterator[EpochRecord]:
        """Train to the end, yielding the record of each epoch.

        Checkpoints are written between chunks when they are due or a signal asks for one. DivergedError when the loss
        or a weight is no longer finite; Interrupted, after one more checkpoint, when a signal has arrived that stops.
        """
        while not self._is_over():
            self._epoch = epoch = self._epoch or self._start_epoch()
            while epoch.n_left:
                n_steps = self._chunk_length.next(self.position.step, epoch.n_left)
                self._chunk_length.adapt(n_steps, epoch.train(self._engine, self._progress.watch, n_steps))
                self._on_steps(self._epoch_progress(epoch))
                if epoch.n_left:
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
        if signals.take_checkpoint_request():
            self._checkpointer.write(self.position)
            self._log(f"checkpoint written after {self.position.step:,} steps")
        if signals.is_pending():
            self._checkpointer.write(self.position)
            signals.check()

    def _epoch_progress(self, epoch: EpochChunks) -> EpochProgress:
        n_done, n_steps = len(epoch.batch_losses), len(epoch.learning_rates)
        return EpochProgress(epoch.epoch, self._n_epochs, n_done, n_steps, epoch.result.loss)

    def _checkpoint(self) -> Checkpoint:
        losses = self._epoch.batch_losses if self._epoch else np.empty(0)
        weights, state = self._engine.weights(), self._engine.state()
        return Checkpoint(self.position, losses, weights, state, self._best_weights, self._progress.so_far())

    def _start_epoch(self) -> EpochChunks:
        config, optimizer = self._config, self._config.optimizer
        if optimizer is None or isinstance(optimizer, Lbfgs) or optimizer.lr is None or config.schedule is None:
            raise UsageError(f"iterative training needs an optimizer: {alternatives(ITERATIVE_OPTIMIZERS)}")
        epoch = len(self._progress.position.history) + 1
        n_steps = math.ceil(len(self._dataset.train) / self._batch_size)
        rates = learning_rates(config.schedule, optimizer.lr, epoch=epoch, n_epochs=self._n_epochs, n_steps=n_steps)
        return EpochChunks(epoch, self._order(epoch), rates, self._batch_size)

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return epoch_order(self._config.seed, epoch, len(self._dataset.train))

    def _end_epoch(self, epoch: EpochChunks) -> EpochRecord:
        result = epoch.result
        running = Metrics(result.accuracy, result.loss, len(self._dataset.train))
        with_all = self._monitored_metric not in ("loss", "accuracy")
        metrics = _validate(self._engine, self._dataset, self._progress.watch, with_all=with_all)
        last = self._progress.position
        position = replace(last, step=last.step + len(epoch.batch_losses), metrics=metrics)
        is_best, monitored = False, None
        if metrics:
            monitored, value = self._monitored(metrics["validation"])
            min_delta = self._stopping.min_delta if self._stopping else 0
            is_best = last.best_value is None or value < last.best_value - min_delta
        if is_best:
            position = replace(position, best_epoch=epoch.epoch, best_value=value)
            if self._stopping is not None and self._stopping.restore_best:
                self._best_weights = self._engine.weights()
        record = replace(
            _epoch_record(running, metrics, epoch.seconds),
            epoch=epoch.epoch,
            learning_rate=float(epoch.learning_rates[-1]),
            samples_per_second=running.n_samples / epoch.seconds,
            is_best=is_best,
            monitored=monitored if with_all else None,
        )
        self._epoch = None
        self._progress.position = replace(position, history=(*position.history, record))
        return record

    @property
    def _monitored_metric(self) -> str:
        return MONITORS[self._stopping.monitor] if self._stopping else "loss"

    def _monitored(self, validation: Metrics) -> tuple[float, float]:
        """Return the metric that decides which epoch is best, and its value turned so that lower is better.

        UsageError for a metric that does not exist for the validation split.
        """
        name = self._monitored_metric
        value: float | None = getattr(validation, name)
        if value is None:
            raise UsageError(
                f"training.early_stopping.monitor: validation_{name} does not exist, because "
                f"{validation.undefined.get(name, 'the model gives no probabilities')}\nmonitor another metric"
            )
        return value, value if METRICS[name].is_lower_better else -value

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
        if not position.is_over:
            final = replace(position, is_over=True, kept_epoch=len(position.history))
            if self._best_weights is not None and position.best_epoch != final.kept_epoch:
                self._engine.load_weights(self._best_weights)
                final = replace(final, kept_epoch=position.best_epoch)
                restored = f"the weights are those of epoch {position.best_epoch}"
                self.note = f"{self.note}; {restored}" if self.note else f"{restored}, the best"
            metrics = _validate(self._engine, self._dataset, self._progress.watch, with_all=True)
            self._progress.position = replace(final, metrics=metrics)
        orders = hashlib.sha256()
        for record in position.history:
            orders.update(self._order(record.epoch).tobytes())
        self._progress.digests["batch_order"] = orders.hexdigest()


def single_fit(engine: Engine, dataset: Dataset, progress: RunProgress) -> tuple[EpochRecord, str | None]:
    """Fit a placed engine without epochs, and score training and validation data afterwards.

    Returns the one row of the history, and a note if the solver did not converge.
    """
    watch = progress.watch
    with watch.part("first_epoch"):
        result = engine.fit()
    train, metrics = score_train(engine, dataset, progress), _validate(engine, dataset, watch, with_all=True)
    record = _epoch_record(train, metrics, watch.seconds("first_epoch"))
    progress.position = Position(history=(record,), metrics=metrics)
    note = f"the solver stopped after {result.n_iterations} iterations, before it converged"
    return record, note if result.converged is False else None


def score_train(engine: Engine, dataset: Dataset, progress: RunProgress) -> Metrics:
    """Score the training split after training, without dropout, and keep and return the metrics.

    Of an estimator at most 2,000 samples are scored, at equal distances: nearest neighbours would otherwise need hours.
    """
    split = dataset.train
    if progress.plan.network is None and len(split) > MOST_SCORED_BY_ESTIMATORS:
        split = take(split, np.arange(MOST_SCORED_BY_ESTIMATORS) * len(split) // MOST_SCORED_BY_ESTIMATORS)
    with progress.watch.part("score_train"):
        progress.train = full_score(engine.predict(split.x), split.y, largest_class(dataset.train.y))
    return progress.train


def _validate(engine: Engine, dataset: Dataset, watch: Stopwatch, *, with_all: bool) -> dict[str, Metrics]:
    """Score the validation split, if there is one. with_all: all metrics, not only accuracy and loss."""
    split = dataset.validation
    if split is None:
        return {}
    with watch.part("validate"):
        scores = engine.predict(split.x)
        found = full_score(scores, split.y, largest_class(dataset.train.y)) if with_all else score(scores, split.y)
        return {"validation": found}


def _epoch_record(train: Metrics, metrics: Mapping[str, Metrics], seconds: float) -> EpochRecord:
    """Return the row of the history of a single fit."""
    validation = metrics.get("validation")
    return EpochRecord(
        epoch=1,
        learning_rate=None,
        train_loss=train.loss,
        train_accuracy=train.accuracy,
        validation_loss=validation.loss if validation else None,
        validation_accuracy=validation.accuracy if validation else None,
        seconds=seconds,
        samples_per_second=None,
        is_best=False,
    )
