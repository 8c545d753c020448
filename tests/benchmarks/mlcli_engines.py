"""Contestants that run the engines of mlcli through their contract, as `mlcli train` does."""

from __future__ import annotations

import numpy as np
from contest import BATCH_SIZE, DECAY, LEARNING_RATE, MAX_ITER, N_CLASSES, N_HIDDEN, Contestant, Fashion, Round, clock

from mlcli.config.schema import ConstantSchedule, Lbfgs, LogisticModel, MlpModel, ModelConfig, OptimizerConfig, RmsProp
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights
from mlcli.records import Scaling

INPUT_SHAPE = (1, 28, 28)


def torch_epochs(data: Fashion) -> Contestant:
    """Train one epoch per round with the torch engine."""
    return _epochs("torch", data)


def keras_epochs(data: Fashion) -> Contestant:
    """Train one epoch per round with the keras engine."""
    return _epochs("keras", data)


def _epochs(backend: str, data: Fashion) -> Contestant:
    optimizer = RmsProp(lr=LEARNING_RATE, decay=DECAY)
    engine = engine_with_data(backend, data, MlpModel(hidden=(N_HIDDEN,)), optimizer, BATCH_SIZE)
    n_samples = len(data.y)
    n_steps = -(-n_samples // BATCH_SIZE)
    n_done = 0

    def one_epoch() -> Round:
        nonlocal n_done
        n_done += 1
        rates = learning_rates(ConstantSchedule(), optimizer.lr, epoch=n_done, n_epochs=1000, n_steps=n_steps)
        result = engine.train_steps(epoch_order(0, n_done, n_samples), rates)
        return Round(result.loss, result.accuracy)

    return one_epoch


def logistic_fits(data: Fashion) -> Contestant:
    """Fit once per round with the sklearn engine, from the same initial weights each time."""
    engine = engine_with_data("sklearn", data, LogisticModel(), Lbfgs(max_iter=MAX_ITER), None)
    start = as_precision(initial_weights(build_network(LogisticModel(), INPUT_SHAPE, N_CLASSES), seed=0), "float32")

    def one_fit() -> Round:
        engine.load_weights(start)
        started = clock()
        engine.fit()
        seconds = clock() - started
        return Round(None, float(np.mean(engine.predict(data.x).labels == data.y)), seconds)

    return one_fit


def engine_with_data(
    backend: str, data: Fashion, model: ModelConfig, optimizer: OptimizerConfig, batch_size: int | None
) -> Engine:
    """Return an engine that holds the training images and starts from fixed initial weights."""
    network = build_network(model, INPUT_SHAPE, N_CLASSES)
    spec = EngineSpec(
        model=model,
        network=network,
        n_classes=N_CLASSES,
        optimizer=optimizer,
        batch_size=batch_size,
        scaling=Scaling("unit", scale=255.0),
        runtime=EngineRuntime(device="cpu", threads=data.threads),
    )
    engine = build_engine(backend, spec, as_precision(initial_weights(network, seed=0), "float32"))
    engine.place(data.x, data.y)
    return engine
