"""Train one experiment, from its data to its run directory; from the beginning or from a checkpoint."""

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
from mlcli.experiment.initial_weights import initial_weights, pin_initial_weights
from mlcli.experiment.memory_errors import batch_advice, translated_memory_errors
from mlcli.experiment.plan import Plan, engine_spec
from mlcli.experiment.threads import is_busy, machine_load
from mlcli.metrics import score
from mlcli.records import Dataset, EpochRecord, RunRecord, RunStatus
from mlcli.runs.checkpoint import Checkpoint, CheckpointFolder
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_finished
from mlcli.runs.lock import RunLock
from mlcli.train.checkpointing import AUTO, CheckpointEvery, check_finite
from mlcli.train.epochs import EpochLoop, single_fit
from mlcli.train.resume import add_resume_hint, check_same_experiment, differences, is_finished, restore_state
from mlcli.train.run_progress import RunProgress

_TOO_LARGE = "the model and the data do not fit into memory: use fewer units, or fewer samples (--limit)"


class TrainingObserver(Protocol):
    """Receives every stage, epoch and note of a run as it happens."""

    def on_stage(self, text: str) -> None:
        """A stage begins, e.g. "loading fashion"."""
        ...

    def on_slow_step(self, text: str) -> None:
        """A slow step begins, e.g. a download."""
        ...

    def on_epoch(self, record: EpochRecord, n_epochs: int) -> None:
        """An epoch and its validation have ended."""
        ...

    def on_note(self, text: str) -> None:
        """The reader of the result must know this."""
        ...


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
    observer: TrainingObserver,
    *,
    if_needed: bool = False,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Run a planned experiment and write its run directory.

    With if_needed, a finished run of the same experiment is returned instead. every: the interval between checkpoints.
    Raises the errors of errors.py, and Interrupted; the directory of a run that ends early has a record with its
    status and the reason.
    """
    plan = pin_initial_weights(plan, paths.runs_directory)
    return _Trainer(plan, paths, threads, observer, every).start(if_needed)


def resume(
    directory: RunDirectory,
    plan: Plan,
    paths: RunPaths,
    threads: int,
    observer: TrainingObserver,
    *,
    every: CheckpointEvery = AUTO,
) -> TrainResult:
    """Finish an interrupted run in its directory, from the newest intact checkpoint.

    plan: of the configuration of the run. With the threads, device and versions that the run started with, the result
    is bit-identical to that of an uninterrupted run. A finished run is returned unchanged. MlcliError where another
    process has locked the run, DataError where configuration or data have changed; and all that `train` raises.
    """
    lock = RunLock.acquire(directory.path)
    try:
        if is_finished(directory):
            return TrainResult(directory.read_record(), directory.path, is_reused=True)
        return _Trainer(plan, paths, threads, observer, every).resume(directory)
    finally:
        lock.release()


class _Trainer:
    def __init__(
        self, plan: Plan, paths: RunPaths, threads: int, observer: TrainingObserver, every: CheckpointEvery
    ) -> None:
        self._plan = plan
        self._config = plan.config
        self._paths = paths
        self._threads = threads
        self._observer = observer
        self._every = every
        self._progress = RunProgress(plan, threads)
        self._checkpoint: Checkpoint | None = None  # of the run that is resumed
        self._loop: EpochLoop | None = None

    def start(self, if_needed: bool) -> TrainResult:
        with self._recorded_if_interrupted(self._new_directory):
            dataset = self._load()
            if if_needed:
                found = find_finished(self._paths.runs_directory, self._progress.digests["experiment"])
                if found:
                    return TrainResult(found[1], found[0].path, is_reused=True)
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
            self._restore_progress(directory, folder)
            dataset = self._load()
            if self._checkpoint:
                check_same_experiment(self._checkpoint, self._progress.digests, directory)
            engine = self._build(dataset)
        where = f"the checkpoint {self._checkpoint.description}" if self._checkpoint else "the beginning"
        self._note(f"resumed from {where}")
        folder.clear_damage()
        directory.reopen()
        directory.rewrite_history(self._progress.position.history)
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

    def _restore_progress(self, directory: RunDirectory, folder: CheckpointFolder) -> None:
        found = folder.find()
        self._checkpoint = found.checkpoint
        for issue in found.issues:
            self._note(f"checkpoint {issue}" + ("; the previous one is used" if found.checkpoint else ""))
        if found.checkpoint:
            self._progress.restore(found.checkpoint)
            for difference in differences(directory):
                self._note(difference)

    def _load(self) -> Dataset:
        if is_busy():
            self._note(f"timings of this run are unreliable (load average {machine_load():.1f})")
        self._observer.on_stage(f"loading {self._config.dataset.name}")
        with self._progress.watch.part("load"):
            dataset = load_dataset(
                self._config.dataset,
                data_dir=self._paths.data_directory,
                offline=self._paths.offline,
                log=self._observer.on_slow_step,
            )
        for note in dataset.notes:
            self._note(note)
        n_samples, batch_size = len(dataset.train), self._config.training.batch_size
        if batch_size and batch_size > n_samples:
            self._note(f"batch_size {batch_size} exceeds the {n_samples} training samples: one batch per epoch")
        self._progress.digests |= experiment_digests(self._config, dataset)
        return dataset

    def _note(self, text: str) -> None:
        if self._progress.add_note(text):
            self._observer.on_note(text)

    def _build(self, dataset: Dataset) -> Engine:
        self._observer.on_stage(f"building {self._config.model.name} on {self._plan.backend}")
        with self._progress.watch.part("build"), translated_memory_errors(_TOO_LARGE):
            spec = engine_spec(self._plan, dataset, self._threads)
            if self._checkpoint:  # on the device that the run used
                spec = replace(spec, runtime=replace(spec.runtime, device=self._checkpoint.run.device))
            engine = build_engine(self._plan.backend, spec, self._weights())
            if self._checkpoint:
                restore_state(engine, self._checkpoint.engine)
            engine.place(dataset.train.x, dataset.train.y)
        self._progress.device = engine.device
        return engine

    def _weights(self) -> Weights | None:
        if self._checkpoint:
            return self._checkpoint.weights
        weights, note = initial_weights(self._plan, self._paths.runs_directory)
        if note:
            self._note(note)
        if weights is not None:
            self._progress.digests["initial_weights"] = weights_digest(weights)
        return weights

    def _new_directory(self) -> RunDirectory:
        directory = RunDirectory.create(self._config, self._paths.runs_directory, self._paths.out)
        directory.write_config(self._config)
        return directory

    def _complete(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> TrainResult:
        """Train, score and save; a run that ends early is recorded with the reason."""
        try:
            with translated_memory_errors(batch_advice(self._config.training.batch_size)):
                self._describe(engine, dataset, directory)
                self._fit(engine, dataset, directory)
                weights = self._final_weights(engine)
                self._evaluate(engine, dataset, directory)
            with signals.shielded():
                record = self._save(engine, weights, directory)
        except BaseException as error:
            self._record_failure(directory, error)
            raise
        CheckpointFolder(directory.path).remove()
        return TrainResult(record, directory.path)

    def _describe(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        if not directory.read_environment():
            directory.write_environment(
                describe_environment(device=engine.device, threads=self._threads, fingerprint=dataset.fingerprint)
            )
        directory.write_preprocessing(preprocessing_of(dataset))

    def _fit(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self._observer.on_stage(f"training {self._config.model.name}")
        if self._plan.is_iterative:
            note = self._train_epochs(engine, dataset, directory)
        else:
            record, note = single_fit(engine, dataset, self._progress)
            self._add_to_history(record, directory)
        if note:
            self._note(note)

    def _train_epochs(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> str | None:
        folder = CheckpointFolder(directory.path)
        self._loop = loop = EpochLoop(engine, dataset, self._progress, folder, self._every)
        if self._checkpoint:
            loop.restore(self._checkpoint)
        # A signal waits for the end of a chunk, where the loop writes a checkpoint of exactly that step.
        with signals.deferred():
            for record in loop.run():
                self._add_to_history(record, directory)
        return loop.note

    def _add_to_history(self, record: EpochRecord, directory: RunDirectory) -> None:
        directory.append_history(record)
        self._observer.on_epoch(record, self._config.training.epochs or 1)

    def _final_weights(self, engine: Engine) -> Weights | None:
        """The weights after training; None for an estimator. DivergedError for values that are not finite."""
        if self._plan.network is None:
            return None
        weights = engine.weights()
        check_finite(weights, self._loop.position.step if self._loop else 1)
        return weights

    def _evaluate(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self._observer.on_stage("scoring the test split")
        with self._progress.watch.part("evaluate"):
            scores = engine.predict(dataset.test.x)
            self._progress.test = score(scores, dataset.test.y)
        arrays = {"labels": scores.labels, "logits": scores.logits, "probabilities": scores.probabilities}
        stored = {name: array for name, array in arrays.items() if array is not None}
        directory.write_predictions({"y": dataset.test.y, **stored})

    def _save(self, engine: Engine, weights: Weights | None, directory: RunDirectory) -> RunRecord:
        """Write the model, the log and the record, which is returned."""
        if weights is not None:
            directory.write_weights(weights)
            self._progress.digests["weights"] = weights_digest(weights)
        else:
            data = engine.estimator_bytes()
            if data is not None:
                self._progress.digests["estimator"] = directory.write_estimator(data)
        directory.write_log(self._progress.log_lines())
        record = self._progress.record(directory.run_id, "finished")
        directory.finish(record)
        return record

    def _record_failure(self, directory: RunDirectory, error: BaseException) -> None:
        """Write the status and the reason of a run that ended early; on a disk that refuses it, leave no record."""
        status: RunStatus = "failed"
        if isinstance(error, DivergedError):
            status = "diverged"
        elif not isinstance(error, Exception):
            status = "interrupted"
        reason = str(error) or type(error).__name__
        with contextlib.suppress(MlcliError):
            if self._loop and status == "interrupted":
                self._loop.keep_end()
            directory.write_log([*self._progress.log_lines(), f"{status}: {reason}"])
            directory.finish(self._progress.record(directory.run_id, status, reason))
        add_resume_hint(error, directory, self._paths.data_directory, offline=self._paths.offline)
