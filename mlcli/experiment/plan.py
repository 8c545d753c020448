"""A plan: everything about an experiment that can be decided, and refused, before it is trained."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

from mlcli import __version__
from mlcli.config.dataset import DatasetConfig
from mlcli.config.dump import config_digest
from mlcli.config.layers import KeyPath
from mlcli.config.schema import EstimatorModel, ExperimentConfig, ModelConfig
from mlcli.data.load import dataset_info, load_dataset
from mlcli.data.source import Log
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import check_supported
from mlcli.errors import UsageError
from mlcli.experiment.defaults import n_train_samples, with_defaults
from mlcli.models.class_weights import balanced_class_weights
from mlcli.models.layers import Network, build_network
from mlcli.records import Dataset, DatasetInfo, Scaling
from mlcli.registry import DEFAULT_BACKEND, DEFAULT_SCHEDULE, TABLE_SUFFIXES, backend_info, trains_iteratively


@dataclass(frozen=True)
class Plan:
    """An experiment that is known to be possible. config has every default filled in."""

    config: ExperimentConfig
    backend: str
    info: DatasetInfo
    network: Network | None  # None for estimators, which have no layers
    is_iterative: bool  # trained epoch by epoch rather than in a single fit
    n_train_samples: int  # in the training split
    has_default_epochs: bool  # whether the configuration leaves their number to the default


def make_plan(config: ExperimentConfig, data_dir: Path | None = None, log: Log = lambda _: None) -> Plan:
    """Check that the parts of an experiment fit together and fill in every default.

    Reads no data, except for a table of one's own, of which nothing is known otherwise (data_dir, log: as for
    `load_dataset`); imports no framework, except for `estimator` models, whose names scikit-learn knows. UsageError,
    listing what is possible, for parts that do not fit; DataError for a table that cannot be used.
    """
    backend = config.backend or DEFAULT_BACKEND
    check_supported(backend, config.model, config.optimizer)
    is_iterative = trains_iteratively(backend, config.model.name)
    takes_categories = isinstance(config.model, EstimatorModel) and _checked_estimator(config, config.model)
    config = config.model_copy(update={"dataset": _with_encoding(config.dataset, takes_categories=takes_categories)})
    info = dataset_info(config.dataset, data_dir, log)
    _check_training(config, backend, has_validation=config.dataset.validation is not None or info.n_validation > 0)
    network = network_of(config.model, info.input_shape, info.n_classes)
    n_samples = n_train_samples(config.dataset, info)
    if config.dataset.path is not None:  # its splits depend on its content
        n_samples = len(load_dataset(config.dataset, data_dir=data_dir).train)
    completed = with_defaults(config, backend, n_samples, is_iterative=is_iterative)
    return Plan(completed, backend, info, network, is_iterative, n_samples, is_iterative and not config.training.epochs)


def _checked_estimator(config: ExperimentConfig, model: EstimatorModel) -> bool:
    """Return whether an estimator takes categories; UsageError for one that does not exist or cannot weigh classes."""
    from mlcli.engines.sklearn.composition import new_estimator, takes_categories

    estimator = new_estimator(model)
    if config.training.class_weight is not None:
        from mlcli.engines.sklearn.class_weight import balance

        balance(estimator)
    return takes_categories(estimator)


def _with_encoding(dataset: DatasetConfig, *, takes_categories: bool) -> DatasetConfig:
    """Return the dataset, if it is a table of one's own, with the encoding that the model takes."""
    if dataset.encoding == "codes" and not takes_categories:
        raise UsageError(
            "dataset.encoding codes: only HistGradientBoostingClassifier takes codes and missing values, unless its "
            "parameter categorical_features is set; use one-hot, or remove the setting"
        )
    is_open = dataset.encoding is None and (dataset.path or "").lower().endswith(TABLE_SUFFIXES)
    return dataset.model_copy(update={"encoding": "codes"}) if is_open and takes_categories else dataset


def model_issues(config: ExperimentConfig) -> list[tuple[KeyPath, str, bool]]:
    """Return what is wrong in the description of an `estimator` model: see `estimator_issues`.

    Only scikit-learn knows its classes and their parameters, and it is imported only for such a model.
    """
    if not isinstance(config.model, EstimatorModel):
        return []
    from mlcli.engines.sklearn.composition import estimator_issues

    return estimator_issues(config.model)


def _check_training(config: ExperimentConfig, backend: str, *, has_validation: bool) -> None:
    training = config.training
    if trains_iteratively(backend, config.model.name):
        if training.early_stopping and not has_validation:
            raise UsageError(
                "training.early_stopping needs validation data: set dataset.validation, e.g. 0.1, or remove it"
            )
        return
    settings = {
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.early_stopping": training.early_stopping,
        "schedule": config.schedule if config.schedule and config.schedule.name != DEFAULT_SCHEDULE else None,
    }
    unused = [key for key, value in settings.items() if value is not None]
    if unused:
        instead = "; optimizer.max_iter limits its iterations" if config.model.name == "logistic" else ""
        raise UsageError(
            f"{', '.join(unused)}: {backend_info(backend).title} trains {config.model.name} in a single fit, without "
            f"epochs{instead}\nremove the setting, or choose another --backend"
        )


def network_of(model: ModelConfig, input_shape: tuple[int, ...], n_classes: int) -> Network | None:
    """Return the layers of a model; None for an estimator, which has none."""
    return None if isinstance(model, EstimatorModel) else build_network(model, input_shape, n_classes)


def experiment_digests(config: ExperimentConfig, dataset: Dataset) -> dict[str, str]:
    """Return the digests "config", "dataset" and "split", and as "experiment" one over these and the mlcli version.

    The name of an experiment does not count, nor does the location of the run under `init_from`; the digest of that
    run's weights does.
    """
    init_from = config.init_from.model_copy(update={"run": ""}) if config.init_from else None
    digests = {
        "config": config_digest(config.model_copy(update={"name": None, "init_from": init_from})),
        "dataset": dataset.fingerprint,
        "split": dataset.split_digest,
    }
    whole = "\n".join([__version__, *digests.values()])
    return digests | {"experiment": hashlib.sha256(whole.encode()).hexdigest()}


def engine_spec(plan: Plan, dataset: Dataset, threads: int) -> EngineSpec:
    """Return the specification of the engine that a plan asks for."""
    n_classes = dataset.info.n_classes
    spec = build_spec(plan.config, plan.network, n_classes=n_classes, scaling=dataset.scaling, threads=threads)
    encoding = dataset.info.encoding
    if encoding is not None and encoding.form == "codes":
        spec = replace(spec, category_mask=encoding.is_category)
    if plan.config.training.class_weight is not None:
        spec = replace(spec, class_weights=balanced_class_weights(dataset.train.y, n_classes))
    return spec


def build_spec(
    config: ExperimentConfig, network: Network | None, *, n_classes: int, scaling: Scaling, threads: int
) -> EngineSpec:
    """Return the specification of an engine from a configuration whose defaults are filled in, and its network."""
    return EngineSpec(
        model=config.model,
        network=network,
        n_classes=n_classes,
        optimizer=config.optimizer,
        batch_size=config.training.batch_size,
        scaling=scaling,
        runtime=EngineRuntime(
            device=config.runtime.device,
            threads=threads,
            precision=config.runtime.precision,
            seed=config.seed,
            deterministic=config.runtime.deterministic,
            samples=config.runtime.samples,
        ),
    )
