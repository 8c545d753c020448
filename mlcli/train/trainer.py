"""Train one experiment: data, engine, passes, scores, run directory; from the beginning or from a checkpoint."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlcli import signals
from mlcli.data.load import load_dataset, preprocessing_of
from mlcli.engines.contract import Engine, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import DivergedError, MlcliError
from mlcli.experiment.digests import experiment_digests, weights_digest
from mlcli.experiment.environment import describe_environment
from mlcli.experiment.initial_weights import pin_initial_weights, starting_weights
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.experiment.plan import Plan, engine_spec
from mlcli.experiment.threads import is_busy, machine_load
from mlcli.metrics import score
from mlcli.records import Dataset, EpochRecord, RunRecord, RunStatus
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder, FoundCheckpoint
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_finished
from mlcli.runs.lock import RunLock
from mlcli.train.checkpointing import AUTO, CheckpointEvery, IterativeTraining, check_finite
from mlcli.train.resume import check_same_experiment, differences, is_finished, restore_state, say_what_next
from mlcli.train.run_progress import RunProgress

_TOO_LARGE = "the model, or the data beside it, does not fit: use fewer units, or fewer samples (--limit)"


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes."""

    runs_directory: Path
    out: Path | None = None
    data_directory: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class TrainResult:
    """A finished run. is_reused: it was there already and nothing was trained."""

    record: RunRecord
    directory: Path
    is_reused: bool = False


def train(
    plan: Plan,
    places: RunPaths,
    threads: int,
    observer: TrainingObserver,
    *,
    if_needed: bool = False,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Run a planned experiment and leave a run directory behind.

    With if_needed, a finished run of the same experiment is returned instead. every: how often a checkpoint is made.
    Raises the errors of errors.py, and Interrupted; the directory of a run that ends early keeps a record with its
    status and the reason.
    """
    return _Training(pin_initial_weights(plan, places.runs_directory), places, threads, observer, every).run(if_needed)


def resume(
    directory: RunDirectory,
    plan: Plan,
    places: RunPaths,
    threads: int,
    observer: TrainingObserver,
    *,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Finish a run that was begun, in its own directory, from the newest checkpoint that is whole.

    plan: of the configuration of the run. Where threads, device and versions are those the run began with, the result
    has the bits of the undisturbed run. A finished run is returned as it is. MlcliError where another process holds
    the run, DataError where configuration or data were changed; and all that `train` raises.
    """
    hold = RunLock.acquire(directory.path)
    try:
        if is_finished(directory):
            return TrainResult(directory.read_record(), directory.path, is_reused=True)
        training = _Training(plan, places, threads, observer, every)
        return training.go_on(directory)
    finally:
        hold.release()


class _Training:
    def __init__(
        self, plan: Plan, places: RunPaths, threads: int, observer: TrainingObserver, every: CheckpointEvery
    ) -> None:
        self._plan = plan
        self._config = plan.config
        self._places = places
        self._threads = threads
        self._observer = observer
        self._every = every
        self._progress = RunProgress(plan, threads)
        self._watch = self._progress.watch
        self._found: FoundCheckpoint | None = None  # of the run that goes on
        self._passes: IterativeTraining | None = None

    @property
    def _from(self) -> Checkpoint | None:
        return self._found.checkpoint if self._found else None

    def run(self, if_needed: bool) -> TrainResult:
        with self._kept_when_stopped(self._new_directory):
            dataset = self._load()
            if if_needed:
                found = find_finished(self._places.runs_directory, self._progress.digests["experiment"])
                if found:
                    return TrainResult(found[1], found[0].path, is_reused=True)
            engine = self._build(dataset)
        directory = self._new_directory()
        hold = RunLock.acquire(directory.path)
        try:
            return self._complete(engine, dataset, directory)
        finally:
            hold.release()

    def go_on(self, directory: RunDirectory) -> TrainResult:
        folder = CheckpointFolder(directory.path)
        with self._kept_when_stopped(lambda: directory):
            self._take_up(directory, folder.find())
            dataset = self._load()
            if self._from:
                check_same_experiment(self._from, self._progress.digests, directory)
            engine = self._build(dataset)
        self._note(
            f"resumed from the checkpoint {self._from.description}" if self._from else "resumed from the beginning"
        )
        folder.clear_damage()
        directory.reopen()
        directory.rewrite_history(self._progress.history)
        return self._complete(engine, dataset, directory)

    @contextlib.contextmanager
    def _kept_when_stopped(self, directory: Callable[[], RunDirectory]) -> Iterator[None]:
        """Told to stop inside, the run leaves a directory from which it can be taken up."""
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            with contextlib.suppress(MlcliError):
                self._leave(directory(), error)
            raise

    def _take_up(self, directory: RunDirectory, found: FoundCheckpoint) -> None:
        self._found = found
        for fault in found.issues:
            self._note(f"checkpoint {fault}" + ("; the one before is used" if found.checkpoint else ""))
        if found.checkpoint:
            self._progress.go_on_from(found.checkpoint)
            for difference in differences(directory):
                self._note(difference)

    def _load(self) -> Dataset:
        if is_busy():
            self._note(f"the machine is busy (load {machine_load():.1f}): the times of this run say little")
        self._observer.on_stage(f"loading {self._config.dataset.name}")
        with self._watch.part("load"):
            dataset = load_dataset(
                self._config.dataset,
                data_dir=self._places.data_directory,
                offline=self._places.offline,
                log=self._observer.on_slow_step,
            )
        for note in dataset.notes:
            self._note(note)
        n_samples, batch_size = len(dataset.train), self._config.training.batch_size
        if batch_size and batch_size > n_samples:
            self._note(f"batch_size {batch_size} is more than the {n_samples} training samples: one batch an epoch")
        self._progress.digests |= experiment_digests(self._config, dataset)
        return dataset

    def _note(self, text: str) -> None:
        if self._progress.add_note(text):
            self._observer.on_note(text)

    def _build(self, dataset: Dataset) -> Engine:
        self._observer.on_stage(f"building {self._config.model.name} on {self._plan.backend}")
        with self._watch.part("build"), translated_memory_errors(_TOO_LARGE):
            spec = engine_spec(self._plan, dataset, self._threads)
            if self._from:  # on the device that it ran on
                spec = replace(spec, runtime=replace(spec.runtime, device=self._from.run.device))
            engine = build_engine(self._plan.backend, spec, self._weights())
            if self._from:
                restore_state(engine, self._from.engine)
            engine.place(dataset.train.x, dataset.train.y)
        self._progress.device = engine.device
        return engine

    def _weights(self) -> Weights | None:
        if self._from:
            return self._from.weights
        weights, note = starting_weights(self._plan, self._places.runs_directory)
        if note:
            self._note(note)
        if weights is not None:
            self._progress.digests["initial_weights"] = weights_digest(weights)
        return weights

    def _new_directory(self) -> RunDirectory:
        directory = RunDirectory.create(self._config, self._places.runs_directory, self._places.out)
        directory.write_config(self._config)
        return directory

    def _complete(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> TrainResult:
        """Train, score, save; whatever comes between is written down."""
        try:
            with translated_memory_errors(batch_advice(self._config.training.batch_size)):
                self._train(engine, dataset, directory)
            with signals.shielded():
                self._save(engine, directory)
                record = self._progress.record(directory.run_id, "finished")
                directory.finish(record)
        except BaseException as error:
            self._leave(directory, error)
            raise
        CheckpointFolder(directory.path).remove()
        return TrainResult(record, directory.path)

    def _train(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        if not directory.read_environment():
            directory.write_environment(
                describe_environment(device=engine.device, threads=self._threads, fingerprint=dataset.fingerprint)
            )
        directory.write_preprocessing(preprocessing_of(dataset))
        self._fit(engine, dataset, directory)
        self._evaluate(engine, dataset, directory)

    def _fit(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        config, progress = self._config, self._progress
        if not self._plan.is_iterative:
            self._observer.on_stage(f"fitting {config.model.name} in one call")
            record, note = single_fit(engine, dataset, progress)
            self._add_to_history(record, directory)
        else:
            folder = CheckpointFolder(directory.path)
            self._passes = IterativeTraining(config, engine, dataset, progress, folder, self._every, self._found)
            note = self._passes.run(lambda record: self._add_to_history(record, directory))
        if note:
            self._note(note)
        if self._plan.network is not None:
            check_finite(engine.weights(), self._passes.n_steps if self._passes else 1)

    def _add_to_history(self, record: EpochRecord, directory: RunDirectory) -> None:
        self._progress.history.append(record)
        directory.append_history(record)
        self._observer.on_epoch(record, self._config.training.epochs or 1)

    def _evaluate(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self._observer.on_stage("scoring the test split")
        with self._watch.part("evaluate"):
            scores = engine.predict(dataset.test.x)
            self._progress.metrics["test"] = score(scores, dataset.test.y)
        arrays = {"labels": scores.labels, "logits": scores.logits, "probabilities": scores.probabilities}
        kept = {name: array for name, array in arrays.items() if array is not None}
        directory.write_predictions({"y": dataset.test.y, **kept})

    def _save(self, engine: Engine, directory: RunDirectory) -> None:
        data = engine.estimator_bytes()
        if data is not None:
            self._progress.digests["estimator"] = directory.write_estimator(data)
        else:
            weights = engine.weights()
            directory.write_weights(weights)
            self._progress.digests["weights"] = weights_digest(weights)
        directory.write_log(self._progress.log_lines())

    def _leave(self, directory: RunDirectory, error: BaseException) -> None:
        """Log in the directory how the run ended. A disk that refuses even that leaves it without a record."""
        status: RunStatus = "failed"
        if isinstance(error, DivergedError):
            status = "diverged"
        elif not isinstance(error, Exception):
            status = "interrupted"
        reason = str(error) or type(error).__name__
        with contextlib.suppress(MlcliError):
            if self._passes and status == "interrupted":
                self._passes.keep_end()
            directory.write_log([*self._progress.log_lines(), f"{status}: {reason}"])
            directory.finish(self._progress.record(directory.run_id, status, reason))
        say_what_next(error, directory, self._places.data_directory, offline=self._places.offline)


def single_fit(engine: Engine, dataset: Dataset, progress: RunProgress) -> tuple[EpochRecord, str | None]:
    """Fit, score training and validation data, and return the one row of the history, and a note where there is one."""
    watch = progress.watch
    with watch.part("first_epoch"):
        result = engine.fit()
    seconds = watch.seconds("first_epoch")
    with watch.part("validate"):
        progress.metrics["train"] = train = score(engine.predict(dataset.train.x), dataset.train.y)
        validation = None
        if dataset.validation is not None:
            validation = score(engine.predict(dataset.validation.x), dataset.validation.y)
            progress.metrics["validation"] = validation
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
    note = f"the solver stopped after {result.n_iterations} iterations, before it converged"
    return record, note if result.converged is False else None


class TrainingObserver(Protocol):
    """Told of every stage, epoch and note as they come."""

    def on_stage(self, text: str) -> None:
        """A stage begins, e.g. "loading fashion"."""
        ...

    def on_slow_step(self, text: str) -> None:
        """Something takes its time, e.g. a download."""
        ...

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        """An epoch, its validation included, is over."""
        ...

    def on_note(self, text: str) -> None:
        """Something the reader of the result must know."""
        ...
