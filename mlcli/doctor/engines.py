"""Train one epoch on every engine, and describe the devices."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlcli.config.experiment import load_experiment
from mlcli.data.load import load_dataset
from mlcli.engines.registry import build_engine
from mlcli.experiment.epoch_schedule import epoch_order
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import engine_spec, make_plan
from mlcli.text import first_line

_PACKAGES = {"sklearn": "scikit-learn", "yaml": "pyyaml"}  # by the modules that are called otherwise


@dataclass(frozen=True)
class EngineCheck:
    """Whether an engine trains and predicts here."""

    backend: str
    device: str | None  # that it used; None if it failed before
    error: str | None  # None: it works
    missing_package: str | None = None


@dataclass(frozen=True)
class Device:
    """A device that PyTorch can use."""

    name: str  # for --device
    title: str
    memory_bytes: int | None


def check_engine(backend: str, threads: int) -> EngineCheck:
    """Train a small network on the irises for one epoch and predict, whatever error that raises."""
    device = None
    try:
        plan = make_plan(load_experiment(None, flags={"backend": backend, "dataset.name": "iris"}, environ={}))
        dataset = load_dataset(plan.config.dataset)
        engine = build_engine(backend, engine_spec(plan, dataset, threads), initial_weights(plan))
        device = engine.device
        engine.place(dataset.train.x, dataset.train.y)
        n_samples, batch_size = len(dataset.train), plan.config.training.batch_size or len(dataset.train)
        engine.train_steps(epoch_order(0, 1, n_samples), np.full(math.ceil(n_samples / batch_size), 0.001))
        engine.predict(dataset.test.x)
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        return EngineCheck(backend, device, first_line(error), _PACKAGES.get(module, module))
    except Exception as error:
        return EngineCheck(backend, device, f"{type(error).__name__}: {first_line(error)}")
    return EngineCheck(backend, device, None)


def found_devices() -> tuple[tuple[Device, ...], str | None]:
    """Return the devices that PyTorch can use, and the one that `auto` chooses; none if PyTorch cannot be imported."""
    try:
        from mlcli.engines.torch.device import available_devices, describe_device, resolve_device
    except Exception:
        return (), None
    return tuple(Device(name, *describe_device(name)) for name in available_devices()), str(resolve_device("auto"))
