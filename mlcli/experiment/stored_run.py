"""A finished run read back from its directory: its weights, its preprocessing, its model in any engine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.schema import ExperimentConfig, Lbfgs, MlpModel, Sgd
from mlcli.data.load import load_dataset
from mlcli.engines.contract import Engine
from mlcli.engines.registry import build_engine, check_supported
from mlcli.errors import DataError, UsageError
from mlcli.experiment.plan import build_spec, network_of
from mlcli.models.layers import Network
from mlcli.records import Dataset, Preprocessing, RunRecord
from mlcli.registry import LARGE_BATCH, backend_info, dataset_row, trains_iteratively
from mlcli.runs.directory import RunDirectory
from mlcli.runs.reader import VerifiedFiles
from mlcli.text import first_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

_MAX_HEADER_BYTES = 2**20  # of a weights file
_MAX_NUMBER_BYTES = 8


@dataclass(frozen=True)
class StoredRun:
    """A finished run whose files match their checksums. Nothing in it is executed, and pickle is never read."""

    record: RunRecord
    config: ExperimentConfig  # resolved, as it was run
    files: VerifiedFiles

    @property
    def path(self) -> Path:
        return self.files.path

    @cached_property
    def preprocessing(self) -> Preprocessing:
        """What the run expects of a raw sample and does to it."""
        return self.files.preprocessing()

    @property
    def network(self) -> Network | None:
        """The layers of the model; None for an estimator, which has none."""
        return self._network_of(self.config)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        """Return the weights in canonical names, order and orientation, float32 or float64.

        UsageError for an estimator, which has none; DataError for weights that do not fit the model or are not finite.
        """
        network = self.network
        if network is None:
            raise UsageError(f"run {self.record.run_id}: model {self.record.model} has no weights; it is an estimator")
        found = self.files.weights(_MAX_HEADER_BYTES + _MAX_NUMBER_BYTES * network.n_parameters)
        try:
            network.check_weights(found)
        except UsageError as error:
            raise DataError(f"run {self.record.run_id}: {first_line(error)}") from error
        _check_numbers(self.record.run_id, found)
        return {name: found[name] for name in network.parameter_shapes()}

    def build_engine(
        self, backend: str | None = None, *, device: str | None = None, threads: int | None = None
    ) -> Engine:
        """Return the model of the run with its weights, in the engine of the run or in another one, ready to predict.

        Predicting needs no optimizer, so the engine gets the simplest one that it has for the model. An engine
        without dropout gets the model without it; the weights are named accordingly. device and threads are those of
        the run where None. UsageError, with what is possible, for a model that the engine does not have.
        """
        name = backend or self.record.backend
        config = _for_prediction(self.config, name, device)
        check_supported(name, config.model, config.optimizer)
        n_classes, scaling = len(self.preprocessing.class_names), self.preprocessing.scaling
        n_threads = threads or self.record.threads
        spec = build_spec(config, self._network_of(config), n_classes=n_classes, scaling=scaling, threads=n_threads)
        if spec.network is None:
            from mlcli.engines.sklearn.stored import stored_estimator_engine

            return stored_estimator_engine(spec, self.files.estimator())
        weights = dict(zip(spec.network.parameter_shapes(), self.weights().values(), strict=True))
        return build_engine(name, spec, weights)

    def _network_of(self, config: ExperimentConfig) -> Network | None:
        return network_of(config.model, self.preprocessing.input_shape, len(self.preprocessing.class_names))

    def load_dataset(
        self,
        name: str | None = None,
        *,
        data: Path | None = None,
        is_split: bool = True,
        on_bad: str | None = None,
        data_directory: Path | None = None,
        offline: bool = False,
    ) -> Dataset:
        """Return the dataset of the run, or another one of the same shape, split and scaled as the run did it.

        data: a file like the one that the run was trained on, or if that had a test file, another one of these; it is
        prepared as the run did it. is_split: whether a file with other content is split too; if not, its test split is
        all of it. on_bad: see `dataset.on_bad`; None: as in the run. The notes of the dataset report content or a split
        that differs from what the run was trained on. UsageError for a dataset of another shape, DataError for a run
        whose preprocessing does not fit its dataset.
        """
        if self.config.dataset.path is not None:
            if name is not None:
                raise UsageError(f"dataset {name}: the run was trained on data of its own; name a file with --data")
            return self._load_own(data, data_directory, is_split=is_split, on_bad=on_bad)
        if on_bad is not None:
            raise UsageError(f"--on-bad: only for data of your own; the run was trained on {self.record.dataset}")
        if data is not None:
            raise UsageError(f"--data {data}: the run was trained on {self.record.dataset}; use --dataset")
        name = name or self.config.dataset.label
        self._check_shape(name)
        config = self.config.dataset.model_copy(update={"name": name, "scaling": "none"})
        dataset = load_dataset(config, data_dir=data_directory, offline=offline)
        notes = (*dataset.notes, *self._differences(dataset))
        return replace(dataset, scaling=self.preprocessing.scaling, notes=notes)

    def _load_own(
        self, path: Path | None, data_directory: Path | None, *, is_split: bool, on_bad: str | None
    ) -> Dataset:
        from mlcli.data.own import stored_dataset

        changes: dict[str, object] = {"scaling": "none"}
        if path is not None:
            changes["test_path" if self.config.dataset.test_path else "path"] = str(path)
        if on_bad is not None:
            changes["on_bad"] = on_bad
        config = self.config.dataset.model_copy(update=changes)
        trained_on = None if is_split else self.record.digests["dataset"]
        dataset = stored_dataset(config, self.preprocessing, trained_on, data_directory)
        notes = (*dataset.notes, *self._differences(dataset))
        return replace(dataset, scaling=self.preprocessing.scaling, notes=notes)

    def has_content_of(self, dataset: Dataset) -> bool:
        """Return whether the content is that of the run, however it is split."""
        return dataset.fingerprint == self.record.digests["dataset"]

    def is_trained_on(self, dataset: Dataset) -> bool:
        """Return whether content and split are those of the run."""
        digests = self.record.digests
        return (dataset.fingerprint, dataset.split_digest) == (digests["dataset"], digests["split"])

    def _check_shape(self, name: str) -> None:
        info, expected = dataset_row(name).info, self.preprocessing
        found_shape = _shape_text(info.input_shape, info.n_classes)
        expected_shape = _shape_text(expected.input_shape, len(expected.class_names))
        if found_shape == expected_shape:
            return
        if name == self.config.dataset.label:
            raise DataError(
                f"run {self.record.run_id}: its preprocessing expects {expected_shape}, but its dataset {name} has "
                f"{found_shape}"
            )
        raise UsageError(
            f"dataset {name} has {found_shape}, but the run was trained on {expected_shape} ({self.record.dataset})"
        )

    def _differences(self, dataset: Dataset) -> list[str]:
        record, digests = self.record, self.record.digests
        if not self.has_content_of(dataset):
            return [
                f"not the data of the run: {dataset.info.name} has the fingerprint {dataset.fingerprint[:12]}, and the "
                f"run was trained on {record.dataset} {digests['dataset'][:12]}"
            ]
        if dataset.split_digest != digests["split"]:
            return ["the split differs from that of the run: samples it was trained on may be scored here"]
        return []


def open_run(directory: RunDirectory, record: RunRecord | None = None) -> StoredRun:
    """Return a finished run with all its files verified against their checksums.

    record: that of the run, if it was read already. UsageError for a run that did not finish, with the reason;
    DataError, naming the file, for files that are missing or altered.
    """
    name = first_line(directory.run_id)
    if record is None:
        if not directory.has_record():
            raise UsageError(
                f"run {name} is unfinished: it is still running, or was stopped before it wrote its record"
            )
        record = directory.read_record()
    if record.status != "finished":
        reason = f": {first_line(record.error)}" if record.error else ""
        raise UsageError(f"run {name} is {record.status}{reason}\nonly finished runs can be used")
    files = VerifiedFiles(directory.path)
    record = files.record()
    _check_complete(name, record)
    return StoredRun(record, files.config(), files)


def _check_complete(name: str, record: RunRecord) -> None:
    """DataError for a record that says finished and lacks what every finished run has."""
    missing = [f"digests.{part}" for part in ("dataset", "split") if part not in record.digests]
    missing += ["metrics.test"] if "test" not in record.metrics else []
    missing += ["timing"] if record.timing is None else []
    if missing:
        raise DataError(f"run {name}: its record says finished, but lacks {', '.join(missing)}")


def _for_prediction(config: ExperimentConfig, backend: str, device: str | None) -> ExperimentConfig:
    """The configuration of a run, changed to what an engine needs to predict with its model."""
    info, training = backend_info(backend), config.training
    if trains_iteratively(backend, config.model.name):
        training = training.model_copy(update={"batch_size": training.batch_size or LARGE_BATCH})
    else:
        training = training.model_copy(update={"batch_size": None})
    changes: dict[str, object] = {"backend": backend, "training": training}
    optimizers = info.optimizers.get(config.model.name)
    if optimizers is not None:  # the one with the least state; None where the model brings its own
        changes["optimizer"] = Sgd() if "sgd" in optimizers else Lbfgs() if optimizers else None
    if isinstance(config.model, MlpModel) and not info.has_dropout:
        changes["model"] = config.model.model_copy(update={"dropout": 0.0})
    if device is not None:
        changes["runtime"] = config.runtime.model_copy(update={"device": device})
    return config.model_copy(update=changes)


def _check_numbers(run_id: str, weights: Mapping[str, NDArray[Any]]) -> None:
    import numpy as np

    for name, array in weights.items():
        if array.dtype not in (np.float32, np.float64):
            raise DataError(f"run {run_id}: weight {name} is {array.dtype}, expected float32 or float64")
        if not np.isfinite(array).all():
            raise DataError(f"run {run_id}: weight {name} has values that are not finite")


def _shape_text(shape: tuple[int, ...], n_classes: int) -> str:
    return f"samples of shape {'x'.join(map(str, shape))} in {n_classes} classes"
