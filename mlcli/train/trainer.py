"""Train one experiment, from its data to its run directory; from the beginning or from a checkpoint."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from mlcli import signals
from mlcli.data.load import load_dataset, preprocessing_of
from mlcli.engines.contract import Engine, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import DivergedError, MlcliError, batch_advice, translated_memory_errors
from mlcli.experiment.environment import describe_environment
from mlcli.experiment.initial_weights import SourceRun, initial_weights, pinned, read_source, weights_digest
from mlcli.experiment.plan import Plan, engine_spec, experiment_digests
from mlcli.metrics.scores import full_score, largest_class
from mlcli.models.class_weights import class_weights_note
from mlcli.records import Dataset, EpochProgress, EpochRecord, RunRecord, RunStatus
from mlcli.registry import FEW_STEPS, MIN_EPOCHS, MIN_STEPS, backend_info
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_finished, next_moment
from mlcli.runs.lock import RunLock
from mlcli.runs.reader import VerifiedFiles
from mlcli.timing import unevenness
from mlcli.train.checkpointing import AUTO, CheckpointEvery, check_finite
from mlcli.train.epochs import EpochLoop, score_train, single_fit
from mlcli.train.resume import (
    add_resume_hint,
    check_same_data,
    check_same_experiment,
    differences,
    is_finished,
    restore_state,
)
from mlcli.train.run_progress import RunProgress, epoch_seconds

_MAX_REASON = 10_000  # characters; a record has a limit
_TOO_LARGE = "the model and the data do not fit into memory: use fewer units, or fewer samples (--limit)"


class Observer(Protocol):
    """Receives a run as it happens: stages ("loading fashion"), slow steps (a download), training and notes.

    on_steps is called about twice a second while an epoch is trained, on_epoch at its end.
    """

    def on_stage(self, text: str) -> None: ...
    def on_slow_step(self, text: str) -> None: ...
    def on_steps(self, progress: EpochProgress) -> None: ...
    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None: ...
    def on_note(self, text: str) -> None: ...


@dataclass(frozen=True)
class RunPaths:
    """Where a run reads and writes. out: its directory itself; None: a new one in runs_directory."""

    runs_directory: Path
    out: Path | None = None
    data_directory: Path | None = None
    offline: bool = False


@dataclass(frozen=True)
class TrainResult:
    """A finished run. is_reused: it existed already and nothing was trained."""

    record: RunRecord
    directory: Path
    is_reused: bool = False


def train(
    plan: Plan,
    paths: RunPaths,
    threads: int,
    observer: Observer,
    *,
    if_needed: bool = False,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Run a planned experiment and write its run directory.

    With if_needed, a finished run of the same experiment is returned instead. every: the interval between checkpoints.
    Raises the errors of errors.py, and Interrupted; the directory of a run that ends early has a record with its
    status and the reason.
    """
    source = read_source(plan, paths.runs_directory)
    return _Trainer(pinned(plan, source), paths, threads, observer, every, source).start(if_needed)


def resume(
    directory: RunDirectory,
    plan: Plan,
    paths: RunPaths,
    threads: int,
    observer: Observer,
    *,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Finish an interrupted run in its directory, from the newest intact checkpoint.

    With the threads, device and versions that it started with, the result is bit-identical to that of an uninterrupted
    run. A finished run is returned unchanged. MlcliError where another process has locked the run, DataError where
    configuration or data have changed; and all that `train` raises.
    """
    lock = RunLock.acquire(directory.path)
    try:
        if is_finished(directory):
            return TrainResult(VerifiedFiles(directory.path).scored_record(), directory.path, is_reused=True)
        return _Trainer(plan, paths, threads, observer, every).resume(directory)
    finally:
        lock.release()


@dataclass
class _Trainer:
    """One run."""

    plan: Plan
    paths: RunPaths
    threads: int
    observer: Observer
    every: CheckpointEvery
    source: SourceRun | None = None  # the run under init_from
    checkpoint: Checkpoint | None = None  # of a run that is resumed
    loop: EpochLoop | None = None  # as soon as epochs are trained

    def __post_init__(self) -> None:
        self.config = self.plan.config
        self.progress = RunProgress(self.plan, self.threads)

    def start(self, if_needed: bool) -> TrainResult:
        with self._recorded_if_interrupted(self._new_directory):
            dataset = self._load()
            if if_needed:
                found = find_finished(self.paths.runs_directory, self.progress.digests["experiment"])
                if found:
                    return TrainResult(VerifiedFiles(found[0].path).scored_record(), found[0].path, is_reused=True)
            engine = self._build(dataset)
        directory = self._new_directory()
        lock = RunLock.acquire(directory.path)
        try:
            return self._complete(engine, dataset, directory)
        finally:
            lock.release()

    def resume(self, directory: RunDirectory) -> TrainResult:
        folder = CheckpointFolder(directory.path)
        with self._recorded_if_interrupted(lambda: directory):
            found = folder.find()
            for issue in found.issues:
                self._note(f"checkpoint {issue}" + ("; the previous one is used" if found.checkpoint else ""))
            if found.checkpoint:
                self.checkpoint = found.checkpoint
                self.progress.restore(found.checkpoint)
                for difference in differences(directory):
                    self._note(difference)
            dataset = self._load()
            if self.checkpoint:
                check_same_experiment(self.checkpoint, self.progress.digests, directory)
            else:
                check_same_data(dataset.fingerprint, directory)
                self.source = read_source(self.plan, self.paths.runs_directory)
            engine = self._build(dataset)
        where = f"the checkpoint {self.checkpoint.description}" if self.checkpoint else "the beginning"
        self._note(f"resumed from {where}")
        folder.clear_damage()
        directory.reopen()
        directory.rewrite_history(self.progress.position.history)
        return self._complete(engine, dataset, directory)

    @contextlib.contextmanager
    def _recorded_if_interrupted(self, directory: Callable[[], RunDirectory]) -> Iterator[None]:
        """On interruption, leave a directory from which the run can be resumed; errors leave none."""
        try:
            yield
        except Exception:
            raise
        except BaseException as error:
            with contextlib.suppress(MlcliError):
                self._record_failure(directory(), error)
            raise

    def _load(self) -> Dataset:
        self.observer.on_stage(f"loading {self.config.dataset.label}")
        with self.progress.watch.part("load"):
            data_dir, offline, log = self.paths.data_directory, self.paths.offline, self.observer.on_slow_step
            dataset = load_dataset(self.config.dataset, data_dir=data_dir, offline=offline, log=log)
        self.progress.watch.add_earlier(dataset.planning_seconds, {"load": dataset.planning_seconds})
        for note in dataset.notes:
            self._note(note)
        n_samples, batch_size = len(dataset.train), self.config.training.batch_size
        if batch_size and batch_size > n_samples:
            self._note(f"batch_size {batch_size} exceeds the {n_samples} training samples: one batch per epoch")
        if self.plan.has_default_epochs:
            rule = f"at least {MIN_EPOCHS}, and at least {MIN_STEPS:,} steps of the default batch size"
            self.observer.on_slow_step(f"{self.config.training.epochs} epochs by default: {rule}")
        n_steps = (self.config.training.epochs or 0) * math.ceil(n_samples / (batch_size or 1))
        if self.plan.is_iterative and n_steps < FEW_STEPS and not self.config.init_from:
            self._note(f"only {n_steps} training steps: train for more --epochs, or use a smaller --batch-size")
        self.progress.n_train_samples = n_samples
        self.progress.digests |= experiment_digests(self.config, dataset)
        return dataset

    def _note(self, text: str) -> None:
        if self.progress.add_note(text):
            self.observer.on_note(text)

    def _build(self, dataset: Dataset) -> Engine:
        title = backend_info(self.plan.backend).title
        self.observer.on_stage(f"importing {title} and building {self.config.model.name}")
        checkpoint = self.checkpoint
        with self.progress.watch.part("build"), translated_memory_errors(_TOO_LARGE):
            spec = engine_spec(self.plan, dataset, self.threads)
            if checkpoint is None:
                engine = build_engine(self.plan.backend, spec, self._initial_weights())
            else:  # on the device that the run used
                spec = replace(spec, runtime=replace(spec.runtime, device=checkpoint.run.device))
                engine = build_engine(self.plan.backend, spec, checkpoint.weights)
                restore_state(engine, checkpoint.engine)
            engine.place(dataset.train.x, dataset.train.y)
        if spec.class_weights:
            self._note(class_weights_note(spec.class_weights, dataset.info.class_names))
        self.progress.device = engine.device
        return engine

    def _initial_weights(self) -> Weights | None:
        weights = initial_weights(self.plan, self.source)
        if self.source:
            self._note(self.source.note)
        if weights is not None:
            self.progress.digests["initial_weights"] = weights_digest(weights)
        return weights

    def _new_directory(self) -> RunDirectory:
        runs_directory, out = self.paths.runs_directory, self.paths.out
        moment = next_moment(out.parent if out else runs_directory)
        directory = RunDirectory.create(self.config, runs_directory, out, moment)
        self.progress.created = moment.isoformat(timespec="milliseconds")
        directory.write_config(self.config)
        return directory

    def _complete(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> TrainResult:
        """Train, score and save; a run that ends early is recorded with the reason."""
        try:
            with translated_memory_errors(batch_advice(self.config.training.batch_size)):
                self._write_environment(engine, dataset, directory)
                directory.write_preprocessing(preprocessing_of(dataset))
                self._fit(engine, dataset, directory)
                weights = engine.weights() if self.plan.network else None
                if weights is not None:
                    check_finite(weights, self.loop.position.step if self.loop else 1)
                self._evaluate(engine, dataset, directory)
            with signals.shielded():
                record = self._save(engine, weights, directory)
        except BaseException as error:
            self._record_failure(directory, error)
            raise
        CheckpointFolder(directory.path).remove()
        return TrainResult(record, directory.path)

    def _write_environment(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        environment = directory.read_environment()
        if not environment:
            directory.write_environment(describe_environment(engine.device, self.threads, dataset.fingerprint))
        elif environment.get("session"):  # the run is resumed, so its times are not those of one session
            directory.write_environment({**environment, "session": None})

    def _fit(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self.observer.on_stage(f"training {self.config.model.name}")
        if not self.plan.is_iterative:
            record, note = single_fit(engine, dataset, self.progress)
            self._add_to_history(record, directory)
        else:
            folder = CheckpointFolder(directory.path)
            observer = self.observer
            self.loop = EpochLoop(
                engine, dataset, self.progress, folder, self.every, observer.on_steps, observer.on_slow_step
            )
            if self.checkpoint:
                self.loop.restore(self.checkpoint)
            # A signal waits for the end of a chunk, where the loop writes a checkpoint of exactly that step.
            with signals.deferred():
                for record in self.loop.run():
                    self._add_to_history(record, directory)
            note = self.loop.note
            self.observer.on_stage("scoring the training split")
            score_train(engine, dataset, self.progress)
        if note:
            self._note(note)
        uneven = unevenness(epoch_seconds(self.progress.position.history)[1:])
        if uneven:
            self._note(f"timings are unreliable: later epochs took {uneven}, probably because of other processes")

    def _add_to_history(self, record: EpochRecord, directory: RunDirectory) -> None:
        directory.append_history(record)
        self.observer.on_epoch(record, self.config.training.epochs or 1)

    def _evaluate(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self.observer.on_stage("scoring the test split")
        with self.progress.watch.part("evaluate"):
            scores = engine.predict(dataset.test.x)
            self.progress.test = full_score(scores, dataset.test.y, largest_class(dataset.train.y))
        arrays = {"y": dataset.test.y, **vars(scores)}
        directory.write_predictions({name: array for name, array in arrays.items() if array is not None})

    def _save(self, engine: Engine, weights: Weights | None, directory: RunDirectory) -> RunRecord:
        """Write the model, the log and the record, which is returned."""
        if weights is not None:
            directory.write_weights(weights)
            self.progress.digests["weights"] = weights_digest(weights)
        elif (data := engine.estimator_bytes()) is not None:
            self.progress.digests["estimator"] = directory.write_estimator(data)
        directory.write_log(self.progress.log_lines())
        record = self.progress.record(directory.run_id, "finished")
        directory.finish(record)
        return record

    def _record_failure(self, directory: RunDirectory, error: BaseException) -> None:
        """Write the status and the reason of a run that ended early; on a disk that refuses it, leave no record."""
        status: RunStatus = "failed" if isinstance(error, Exception) else "interrupted"
        if isinstance(error, DivergedError):
            status = "diverged"
        reason = str(error)[:_MAX_REASON] or type(error).__name__
        with contextlib.suppress(MlcliError):
            if self.loop and status == "interrupted":
                self.loop.keep_end()
            directory.write_log([*self.progress.log_lines(), f"{status}: {reason}"])
            directory.finish(self.progress.record(directory.run_id, status, reason))
        add_resume_hint(error, directory, self.paths.data_directory, offline=self.paths.offline)
