"""From a configuration to a plan: everything that can be decided, and refused, without data and frameworks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlcli.config.schema import Adam, EstimatorModel, ExperimentConfig, Lbfgs
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import check_supported
from mlcli.errors import UsageError
from mlcli.models.layers import Network, build_network
from mlcli.records import Dataset, DatasetInfo
from mlcli.registry import DEFAULT_BACKEND, backend_info, dataset_info, trains_iteratively

DEFAULT_EPOCHS = 10
DEFAULT_BATCH_SIZE = 128


@dataclass(frozen=True)
class Plan:
    """An experiment that is known to be possible. config has every default that depends on the engine filled in."""

    config: ExperimentConfig
    backend: str
    info: DatasetInfo
    network: Network | None  # None for estimators, which have no layers
    is_iterative: bool  # trained epoch by epoch, not in one call


def make_plan(config: ExperimentConfig) -> Plan:
    """Check that the parts fit and fill in what depends on the engine; UsageError where they do not.

    Reads no data and imports no framework, but for `estimator` models, whose names scikit-learn knows.
    """
    backend = config.backend or DEFAULT_BACKEND
    info = dataset_info(config.dataset.name)
    is_iterative = trains_iteratively(backend, config.model.name)
    check_supported(backend, config)
    _check_training(config, backend, is_iterative)
    network = None
    if isinstance(config.model, EstimatorModel):
        _check_estimator(config.model)
    else:
        network = build_network(config.model, info.input_shape, info.n_classes)
    return Plan(_completed(config, backend, is_iterative), backend, info, network, is_iterative)


def _check_training(config: ExperimentConfig, backend: str, is_iterative: bool) -> None:
    training = config.training
    if is_iterative:
        if training.early_stopping and config.dataset.validation is None:
            raise UsageError(
                "training.early_stopping watches validation data, and there is none: set dataset.validation, e.g. 0.1"
            )
        return
    given = {
        "training.epochs": training.epochs,
        "training.batch_size": training.batch_size,
        "training.early_stopping": training.early_stopping,
        "schedule": None if config.schedule.name == "constant" else config.schedule,
    }
    unused = [key for key, value in given.items() if value is not None]
    if unused:
        instead = "; optimizer.max_iter bounds its iterations" if config.model.name == "logistic" else ""
        raise UsageError(
            f"{', '.join(unused)}: model {config.model.name} is fitted by {backend_info(backend).title} in one call, "
            f"not in passes{instead}\nremove the setting, or choose another --backend"
        )


def _check_estimator(model: EstimatorModel) -> None:
    from mlcli.engines.sklearn.estimator import new_estimator

    new_estimator(model)


def _completed(config: ExperimentConfig, backend: str, is_iterative: bool) -> ExperimentConfig:
    training = config.training
    optimizer = config.optimizer
    if is_iterative:
        training = training.model_copy(
            update={
                "epochs": training.epochs or DEFAULT_EPOCHS,
                "batch_size": training.batch_size or DEFAULT_BATCH_SIZE,
            }
        )
        optimizer = optimizer or Adam()
    elif config.model.name == "logistic":
        optimizer = optimizer or Lbfgs()
    name = config.name or f"{config.dataset.name}_{config.model.name}"
    return config.model_copy(
        update={"backend": backend, "name": name, "training": training, "optimizer": optimizer, "backends": {}}
    )


def describe_plan(plan: Plan, n_threads: int) -> dict[str, object]:
    """The plan in figures, for a person to check before it runs."""
    config, info = plan.config, plan.info
    figures: dict[str, object] = {
        "experiment": config.name,
        "backend": plan.backend,
        "dataset": info.title,
        "samples": info.n_train + info.n_test,
        "sample_shape": "x".join(map(str, info.input_shape)),
        "classes": info.n_classes,
        "model": config.model.name,
        "parameters": plan.network.n_parameters if plan.network else None,
        "optimizer": config.optimizer.name if config.optimizer else None,
    }
    if plan.is_iterative and config.optimizer is not None and not isinstance(config.optimizer, Lbfgs):
        epochs, batch_size = config.training.epochs or 0, config.training.batch_size or 1
        figures |= {
            "learning_rate": config.optimizer.lr,
            "epochs": epochs,
            "batch_size": batch_size,
            "steps_at_most": epochs * math.ceil(info.n_train / batch_size),
        }
    else:
        figures["fitted"] = "in one call"
    return figures | {"seed": config.seed, "device": config.runtime.device, "threads": n_threads}


def engine_spec(plan: Plan, dataset: Dataset, threads: int) -> EngineSpec:
    """The specification of the engine that a plan asks for."""
    config = plan.config
    return EngineSpec(
        model=config.model,
        network=plan.network,
        n_classes=dataset.info.n_classes,
        optimizer=config.optimizer,
        batch_size=config.training.batch_size,
        scaling=dataset.scaling,
        runtime=EngineRuntime(
            device=config.runtime.device,
            threads=threads,
            precision=config.runtime.precision,
            seed=config.seed,
            deterministic=config.runtime.deterministic,
        ),
    )
