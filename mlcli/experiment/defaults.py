"""The defaults that depend on the engine, the model and the number of training samples.

Reads no data and imports no framework: the number of training samples follows from the configuration.
"""

from __future__ import annotations

import math
import os

from mlcli.config.dataset import DatasetConfig
from mlcli.config.layers import FILES
from mlcli.config.schema import AdamW, ExperimentConfig, Lbfgs, OptimizerConfig, TrainingConfig
from mlcli.records import DatasetInfo
from mlcli.registry import (
    DEFAULT_SCHEDULE,
    DEFAULT_TEST_FRACTION,
    LARGE_BATCH,
    LARGE_DATA,
    LOGISTIC_LR,
    LOGISTIC_SCHEDULE,
    LR,
    MIN_EPOCHS,
    MIN_STEPS,
    SMALL_BATCH,
    default_optimizer,
)


def with_defaults(
    config: ExperimentConfig, backend: str, n_train_samples: int, *, is_iterative: bool
) -> ExperimentConfig:
    """Return the configuration for one engine with every setting filled in that has a default."""
    optimizer, default = config.optimizer, default_optimizer(backend, config.model.name)
    if optimizer is None and default is not None:
        optimizer = ExperimentConfig.model_validate({"optimizer": {"name": default}}).optimizer
    is_convex = config.model.name == "logistic" and is_iterative
    schedule = {"name": LOGISTIC_SCHEDULE if is_convex else DEFAULT_SCHEDULE}
    changes: dict[str, object] = {
        "backend": backend,
        "backends": {},
        "dataset": config.dataset.model_copy(
            update={key: os.path.abspath(path) for key in FILES if (path := getattr(config.dataset, key))}
        ),
        "name": config.name or f"{config.dataset.label}_{config.model.name}",
        "optimizer": optimizer and _completed(optimizer, config.model.name, n_train_samples),
        "schedule": config.schedule or ExperimentConfig.model_validate({"schedule": schedule}).schedule,
        "training": _with_epochs(config.training, n_train_samples) if is_iterative else config.training,
    }
    return config.model_copy(update=changes)


def _completed(optimizer: OptimizerConfig, model: str, n_train_samples: int) -> OptimizerConfig:
    """Fill in the learning rate and the weight decay.

    The penalty of logistic regression is that of scikit-learn with C = 1: its objective, the sum of the losses plus
    `||W||^2 / (2 * C)`, is n times the mean loss plus `weight_decay / 2 * ||W||^2` for weight_decay = 1 / (C * n).
    """
    is_logistic = model == "logistic"
    changes: dict[str, float] = {}
    if not isinstance(optimizer, Lbfgs) and optimizer.lr is None:
        changes["lr"] = LOGISTIC_LR if is_logistic else LR
    if not isinstance(optimizer, AdamW) and optimizer.weight_decay is None:
        changes["weight_decay"] = 1 / n_train_samples if is_logistic else 0.0
    return optimizer.model_copy(update=changes)


def _with_epochs(training: TrainingConfig, n_train_samples: int) -> TrainingConfig:
    """Fill in epochs and batch size; another batch size does not change the epochs, so that they can be compared."""
    batch_size = SMALL_BATCH if n_train_samples < LARGE_DATA else LARGE_BATCH
    epochs = max(MIN_EPOCHS, math.ceil(MIN_STEPS / math.ceil(n_train_samples / batch_size)))
    return training.model_copy(
        update={"epochs": training.epochs or epochs, "batch_size": training.batch_size or batch_size}
    )


def n_train_samples(config: DatasetConfig, info: DatasetInfo) -> int:
    """Return the size of the training split of a known dataset, which `plan_splits` makes; at least 1."""
    n_left = info.n_train
    if config.folds is not None:
        n_left -= len(range(config.fold, n_left, config.folds))
    is_fraction = config.test == "auto" and not info.n_test and config.folds is None
    test = DEFAULT_TEST_FRACTION if is_fraction else config.test
    for fraction in (test, config.validation):
        if isinstance(fraction, float):
            n_left -= round(fraction * n_left)
    return max(1, n_left if config.limit is None else min(n_left, config.limit))
