"""Train one experiment: data, engine, passes, scores, run directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli import __version__
from mlcli.data.load import load_dataset
from mlcli.data.preprocessing import preprocessing_of
from mlcli.engines.contract import Engine, Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import DivergedError, MlcliError
from mlcli.metrics import score
from mlcli.models.initial_weights import as_precision, initial_weights
from mlcli.records import Dataset, EpochRecord, Metrics, RunRecord, RunStatus, Timing
from mlcli.runs import RunDirectory, find_finished, utc_now
from mlcli.timing import Stopwatch
from mlcli.workflows.digests import experiment_digests, weights_digest
from mlcli.workflows.engine_spec import engine_spec
from mlcli.workflows.environment import describe_environment, peak_memory_bytes
from mlcli.workflows.epochs import EpochLoop
from mlcli.workflows.init_from import read_start, settled
from mlcli.workflows.memory_errors import translated_memory_errors
from mlcli.workflows.observer import TrainingObserver
from mlcli.workflows.plan import Plan
from mlcli.workflows.threads import is_busy, machine_load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PARTS = ("load", "build", "first_epoch", "remaining_epochs", "validate", "evaluate")


@dataclass(frozen=True)
class Places:
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


@dataclass
class _Progress:
    """What is known of the run so far; becomes its record, however it ends."""

    device: str = ""
    history: list[EpochRecord] = field(default_factory=list)
    metrics: dict[str, Metrics] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    best_epoch: int | None = None


def train(
    plan: Plan, places: Places, threads: int, observer: TrainingObserver, *, if_needed: bool = False
) -> TrainResult:
    """Run a planned experiment and leave a run directory behind.

    With if_needed, a finished run of the same experiment is returned instead. Raises the errors of errors.py; the
    directory of a run that ends early keeps a record with its status and the reason.
    """
    return _Training(settled(plan, places.runs_directory), places, threads, observer).run(if_needed)


class _Training:
    def __init__(self, plan: Plan, places: Places, threads: int, observer: TrainingObserver) -> None:
        self._plan = plan
        self._config = plan.config
        self._places = places
        self._threads = threads
        self._observer = observer
        self._watch = Stopwatch()
        self._progress = _Progress()
        self._created = utc_now().isoformat(timespec="milliseconds")

    def run(self, if_needed: bool) -> TrainResult:
        if is_busy():
            self._note(f"the machine is busy (load {machine_load():.1f}): the times of this run say little")
        dataset = self._load()
        self._progress.digests |= experiment_digests(self._config, dataset)
        if if_needed:
            found = find_finished(self._places.runs_directory, self._progress.digests["experiment"])
            if found:
                return TrainResult(found[1], found[0].path, is_reused=True)
        with translated_memory_errors(self._config.training.batch_size):
            engine = self._build(dataset)
        directory = RunDirectory.create(self._config, self._places.runs_directory, self._places.out)
        try:
            with translated_memory_errors(self._config.training.batch_size):
                self._train(engine, dataset, directory)
            record = self._record(directory.run_id, "finished")
            directory.finish(record)
        except BaseException as error:
            self._leave(directory, error)
            raise
        return TrainResult(record, directory.path)

    def _load(self) -> Dataset:
        self._observer.on_stage(f"loading {self._config.dataset.name}")
        with self._watch.part("load"):
            dataset = load_dataset(
                self._config.dataset,
                data_dir=self._places.data_directory,
                offline=self._places.offline,
                say=self._observer.on_slow_step,
            )
        for note in dataset.notes:
            self._note(note)
        n_samples, batch_size = len(dataset.train), self._config.training.batch_size
        if batch_size and batch_size > n_samples:
            self._note(f"batch_size {batch_size} is more than the {n_samples} training samples: one batch an epoch")
        return dataset

    def _note(self, text: str) -> None:
        self._progress.notes.append(text)
        self._observer.on_note(text)

    def _build(self, dataset: Dataset) -> Engine:
        self._observer.on_stage(f"building {self._config.model.name} on {self._plan.backend}")
        with self._watch.part("build"):
            engine = build_engine(
                self._plan.backend, engine_spec(self._plan, dataset, self._threads), self._initial_weights()
            )
            engine.place(dataset.train.x, dataset.train.y)
        self._progress.device = engine.device
        return engine

    def _initial_weights(self) -> Mapping[str, NDArray[np.floating]] | None:
        if self._plan.network is None:
            return None
        if self._config.init_from:
            start = read_start(self._plan, self._places.runs_directory)
            self._note(start.note)
            chosen: Weights = start.weights
        else:
            chosen = initial_weights(self._plan.network, self._config.seed)
        weights = as_precision(chosen, self._config.runtime.precision)
        self._progress.digests["initial_weights"] = weights_digest(weights)
        return weights

    def _train(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        directory.write_config(self._config)
        directory.write_environment(
            describe_environment(device=engine.device, threads=self._threads, fingerprint=dataset.fingerprint)
        )
        directory.write_preprocessing(preprocessing_of(dataset))
        if self._plan.in_passes:
            self._run_epochs(engine, dataset, directory)
        else:
            self._fit_once(engine, dataset, directory)
        self._evaluate(engine, dataset, directory)
        self._save(engine, directory)

    def _run_epochs(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        loop = EpochLoop(self._config, engine, dataset, self._watch)
        for record in loop.run():
            self._progress.best_epoch = loop.best_epoch
            self._progress.metrics |= loop.metrics
            self._add_to_history(record, directory, self._config.training.epochs or 0)
        self._progress.metrics |= loop.metrics
        self._progress.digests["batch_order"] = loop.batch_order_digest
        if loop.note:
            self._note(loop.note)

    def _add_to_history(self, record: EpochRecord, directory: RunDirectory, n_epochs: int) -> None:
        self._progress.history.append(record)
        directory.append_history(record)
        self._observer.on_epoch(record, n_epochs)

    def _fit_once(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self._observer.on_stage(f"fitting {self._config.model.name} in one call")
        with self._watch.part("first_epoch"):
            result = engine.fit()
        seconds = self._watch.seconds("first_epoch")
        if result.converged is False:
            self._note(f"the solver stopped after {result.n_iterations} iterations, before it converged")
        with self._watch.part("validate"):
            self._progress.metrics["train"] = train = score(engine.predict(dataset.train.x), dataset.train.y)
            validation = None
            if dataset.validation is not None:
                validation = score(engine.predict(dataset.validation.x), dataset.validation.y)
                self._progress.metrics["validation"] = validation
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
        self._add_to_history(record, directory, 1)

    def _evaluate(self, engine: Engine, dataset: Dataset, directory: RunDirectory) -> None:
        self._observer.on_stage("scoring the test split")
        with self._watch.part("evaluate"):
            scores = engine.predict(dataset.test.x)
            self._progress.metrics["test"] = score(scores, dataset.test.y)
        arrays: dict[str, NDArray[np.generic]] = {"y": dataset.test.y, "labels": scores.labels}
        arrays |= {"logits": scores.logits} if scores.logits is not None else {}
        arrays |= {"probabilities": scores.probabilities} if scores.probabilities is not None else {}
        directory.write_predictions(arrays)

    def _save(self, engine: Engine, directory: RunDirectory) -> None:
        data = engine.estimator_bytes()
        if data is not None:
            self._progress.digests["estimator"] = directory.write_estimator(data)
        else:
            weights = engine.weights()
            directory.write_weights(weights)
            self._progress.digests["weights"] = weights_digest(weights)
        directory.write_log(self._log_lines())

    def _log_lines(self) -> list[str]:
        progress = self._progress
        return [f"note: {note}" for note in progress.notes] + [
            f"epoch {record.epoch}: training loss {record.train_loss}, {record.seconds:.3f} s"
            for record in progress.history
        ]

    def _leave(self, directory: RunDirectory, error: BaseException) -> None:
        """Say in the directory how the run ended. A disk that refuses even that leaves it without a record."""
        status: RunStatus = "failed"
        if isinstance(error, DivergedError):
            status = "diverged"
        elif not isinstance(error, Exception):
            status = "interrupted"
        reason = str(error) or type(error).__name__
        try:
            directory.write_log([*self._log_lines(), f"{status}: {reason}"])
            directory.finish(self._record(directory.run_id, status, reason))
        except MlcliError:
            return

    def _record(self, run_id: str, status: RunStatus, error: str | None = None) -> RunRecord:
        progress, config = self._progress, self._config
        return RunRecord(
            run_id=run_id,
            name=config.name or "",
            status=status,
            backend=self._plan.backend,
            dataset=config.dataset.name,
            model=config.model.name,
            seed=config.seed,
            metrics=progress.metrics,
            timing=self._timing(),
            epochs=len(progress.history) if self._plan.in_passes else None,
            best_epoch=progress.best_epoch,
            samples_per_second=_steady_rate(progress.history),
            n_parameters=self._plan.network.n_parameters if self._plan.network else None,
            device=progress.device,
            threads=self._threads,
            peak_memory_bytes=peak_memory_bytes(),
            notes=tuple(progress.notes),
            digests=progress.digests,
            mlcli_version=__version__,
            created=self._created,
            error=error,
        )

    def _timing(self) -> Timing:
        seconds = {f"{part}_seconds": self._watch.seconds(part) for part in _PARTS}
        return Timing(total_seconds=self._watch.total_seconds, **seconds)


def _steady_rate(history: list[EpochRecord]) -> float | None:
    """Training samples a second over the epochs after the first, which pays for warming up; None without any epoch."""
    steady = history[1:] or history
    seconds = sum(record.seconds for record in steady)
    n_samples = sum(record.samples_per_second * record.seconds for record in steady)
    return n_samples / seconds if seconds else None
