"""A finished run, brought back from its directory: its weights, its preprocessing, its model in any engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.schema import ExperimentConfig, Lbfgs, MlpModel, OptimizerConfig, Sgd
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine, check_supported
from mlcli.engines.weight_check import check_weights
from mlcli.errors import DataError, UsageError
from mlcli.experiment.plan import DEFAULT_BATCH_SIZE
from mlcli.models.layers import Network, build_network
from mlcli.records import Dataset, EpochRecord, Preprocessing, RunRecord
from mlcli.registry import backend_info, dataset_info, trains_iteratively
from mlcli.runs.find import find_run
from mlcli.runs.verified import VerifiedFiles
from mlcli.text import first_line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


_MAX_HEADER_BYTES = 2**20  # of a weights file
_MAX_NUMBER_BYTES = 8


@dataclass(frozen=True)
class StoredRun:
    """A finished run whose files were found whole. Nothing in it is executed, and pickle is never read."""

    record: RunRecord
    config: ExperimentConfig  # resolved, as it was run
    files: VerifiedFiles

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What the run expects of a raw sample and does to it."""
        return self.files.preprocessing()

    @property
    def path(self) -> Path:
        return self.files.path

    @property
    def network(self) -> Network | None:
        """The layers of the model; None for an estimator, which has none."""
        if self.config.model.name == "estimator":
            return None
        shape, n_classes = self.preprocessing.input_shape, len(self.preprocessing.class_names)
        return build_network(self.config.model, shape, n_classes)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """The weights in canonical names, order and orientation.

        UsageError for an estimator, which has none; DataError where they do not fit the model or are not finite.
        """
        if self.network is None:
            raise UsageError(f"run {self.record.run_id}: model {self.record.model} has no weights, but an estimator")
        found = self.files.weights(_MAX_HEADER_BYTES + _MAX_NUMBER_BYTES * self.network.n_parameters)
        try:
            check_weights(self.network, found)
        except UsageError as error:
            raise DataError(f"run {self.record.run_id}: {first_line(error)}") from error
        for name, array in found.items():
            _check_numbers(self.record.run_id, name, array)
        return {name: found[name] for name in self.network.parameter_shapes()}

    def estimator_bytes(self) -> bytes | None:
        """The fitted estimator in skops form, not loaded; None for a run that has weights."""
        return self.files.estimator() if self.files.has_estimator() else None

    def predictions(self) -> dict[str, NDArray[Any]]:
        """The test scores of the run: y and labels int64 (n,), logits and probabilities float32 (n, classes)."""
        return self.files.predictions()

    def history(self) -> list[EpochRecord]:
        """One record an epoch; the only one of a fit in one call."""
        return self.files.history()

    def build_engine(
        self, backend: str | None = None, *, device: str | None = None, threads: int | None = None
    ) -> Engine:
        """The run's model with its weights, in its own engine or in another one, ready to predict.

        Its optimizer is the simplest one that the engine has for the model, since predicting needs none. An engine
        without dropout gets the model without it, since predicting drops nothing; the weights are named accordingly.
        device and threads: those of the run where None. UsageError, with what is possible, for a model that the
        engine lacks.
        """
        name = backend or self.record.backend
        config = _for_prediction(self.config, name)
        check_supported(name, config)
        spec = self._engine_spec(config, name, device, threads)
        if spec.network is None:
            from mlcli.engines.sklearn.stored import stored_estimator_engine

            return stored_estimator_engine(spec, self.files.estimator())
        weights = dict(zip(spec.network.parameter_shapes(), self.weights().values(), strict=True))
        return build_engine(name, spec, weights)

    def _engine_spec(
        self, config: ExperimentConfig, backend: str, device: str | None, threads: int | None
    ) -> EngineSpec:
        n_classes = len(self.preprocessing.class_names)
        network = None
        if config.model.name != "estimator":
            network = build_network(config.model, self.preprocessing.input_shape, n_classes)
        is_iterative = trains_iteratively(backend, config.model.name)
        return EngineSpec(
            model=config.model,
            network=network,
            n_classes=n_classes,
            optimizer=config.optimizer,
            batch_size=(config.training.batch_size or DEFAULT_BATCH_SIZE) if is_iterative else None,
            scaling=self.preprocessing.scaling,
            runtime=EngineRuntime(
                device=device or config.runtime.device,
                threads=threads or self.record.threads,
                precision=config.runtime.precision,
                seed=config.seed,
                deterministic=config.runtime.deterministic,
            ),
        )

    def load_dataset(
        self, name: str | None = None, *, data_directory: Path | None = None, offline: bool = False
    ) -> Dataset:
        """The run's dataset, or another one of the same shape, split as the run split and with the run's scaling.

        A note in the result says so where the content or the split is not what the run was trained on.
        UsageError for a dataset of another shape.
        """
        if name is not None and name != self.config.dataset.name:
            self._check_shape(name)
        else:
            self._check_own_shape()
        config = self.config.dataset.model_copy(update={"name": name or self.config.dataset.name, "scaling": "none"})
        dataset = load_dataset(config, data_dir=data_directory, offline=offline)
        notes = (*dataset.notes, *self._differences(dataset))
        return replace(dataset, scaling=self.preprocessing.scaling, notes=notes)

    def is_trained_on(self, dataset: Dataset) -> bool:
        """Whether content and split are those of the run."""
        digests = self.record.digests
        return (dataset.fingerprint, dataset.split_digest) == (digests["dataset"], digests["split"])

    def _check_own_shape(self) -> None:
        info, own = dataset_info(self.config.dataset.name), self.preprocessing
        if (info.input_shape, info.n_classes) != (own.input_shape, len(own.class_names)):
            raise DataError(
                f"run {self.record.run_id}: its preprocessing is for samples of {_shape(own.input_shape)} in "
                f"{len(own.class_names)} classes, and its dataset {info.name} has other ones"
            )

    def _check_shape(self, name: str) -> None:
        info, own = dataset_info(name), self.preprocessing
        if info.input_shape != own.input_shape or info.n_classes != len(own.class_names):
            raise UsageError(
                f"dataset {name} has samples of {_shape(info.input_shape)} in {info.n_classes} classes, but the run "
                f"was trained on {_shape(own.input_shape)} in {len(own.class_names)} classes ({self.record.dataset})"
            )

    def _differences(self, dataset: Dataset) -> list[str]:
        record, digests = self.record, self.record.digests
        if dataset.fingerprint != digests["dataset"]:
            return [
                f"these are not the data of the run: {dataset.info.name} has the fingerprint "
                f"{dataset.fingerprint[:12]}, and the run was trained on {record.dataset} {digests['dataset'][:12]}"
            ]
        if dataset.split_digest != digests["split"]:
            return ["the split differs from that of the run: its training samples may be among those scored here"]
        return []


def open_run(reference: str, runs_directory: Path) -> StoredRun:
    """A finished run with its files verified.

    reference: a directory, a run id, a unique prefix of one, or `last`, the newest finished run in runs_directory.
    UsageError for a run that is not there or did not finish, with its reason; DataError for one whose files are
    missing or altered, with the file.
    """
    directory = find_run(reference, runs_directory)
    name = first_line(directory.run_id)
    if not directory.has_record():
        raise UsageError(f"run {name} is unfinished: it has no record, so it was stopped or still runs")
    record = directory.read_record()
    if record.status != "finished":
        reason = f": {first_line(record.error)}" if record.error else ""
        raise UsageError(f"run {name} is {record.status}{reason}\nonly a finished run can be used again")
    _check_finished(name, record)
    files = VerifiedFiles(directory.path)
    return StoredRun(record, files.config(), files)


def _check_finished(name: str, record: RunRecord) -> None:
    """DataError for a record that says finished and lacks what every finished run has."""
    missing = [f"digests.{part}" for part in ("dataset", "split") if part not in record.digests]
    missing += ["metrics.test"] if "test" not in record.metrics else []
    missing += ["timing"] if record.timing is None else []
    if missing:
        raise DataError(f"run {name}: its record says finished, but has no {' and no '.join(missing)}")


def _for_prediction(config: ExperimentConfig, backend: str) -> ExperimentConfig:
    info = backend_info(backend)
    changes: dict[str, object] = {"backend": backend}
    optimizers = info.optimizers.get(config.model.name)
    if optimizers is not None:
        changes["optimizer"] = _simplest_optimizer(optimizers)
    if isinstance(config.model, MlpModel) and not info.has_dropout:
        changes["model"] = config.model.model_copy(update={"dropout": 0.0})
    return config.model_copy(update=changes)


def _simplest_optimizer(optimizers: tuple[str, ...]) -> OptimizerConfig | None:
    """The one with the least state; None where the model brings its own."""
    if not optimizers:
        return None
    return Sgd() if "sgd" in optimizers else Lbfgs()


def _check_numbers(run_id: str, name: str, array: NDArray[Any]) -> None:
    import numpy as np

    if array.dtype not in (np.float32, np.float64):
        raise DataError(f"run {run_id}: weight {name} is {array.dtype}, expected float32 or float64")
    if not np.isfinite(array).all():
        raise DataError(f"run {run_id}: weight {name} holds values that are not finite")


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
