"""BACKENDS: every engine with what it can do, readable without importing a framework.

A new backend is one file and one row here.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from typing import cast

from mlcli.config.schema import ExperimentConfig, MlpModel
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec, Weights
from mlcli.errors import UsageError, unknown_name

_BY_PASSES = ("sgd", "adam", "adamw", "rmsprop")


@dataclass(frozen=True)
class BackendInfo:
    """A row of the table. optimizers: for each model that can be trained, the optimizers that can train it."""

    engine: str  # "module:Class"
    title: str
    optimizers: Mapping[str, tuple[str, ...]]  # an empty tuple: the model brings its own
    activations: tuple[str, ...] = ("relu", "tanh", "sigmoid", "gelu")
    has_dropout: bool = True
    has_compile: bool = False
    has_reduced_products: bool = True
    devices: tuple[str, ...] = ("cpu", "cuda", "mps")


BACKENDS: dict[str, BackendInfo] = {
    "sklearn": BackendInfo(
        engine="mlcli.engines.sklearn.engine:build",
        title="scikit-learn",
        optimizers={"logistic": ("lbfgs",), "mlp": ("sgd", "adam"), "estimator": ()},
        activations=("relu", "tanh", "sigmoid"),
        has_dropout=False,
        has_reduced_products=False,
        devices=("cpu", "cuda"),
    ),
    "torch": BackendInfo(
        engine="mlcli.engines.torch.engine:TorchEngine",
        title="PyTorch",
        optimizers={"logistic": _BY_PASSES, "mlp": _BY_PASSES, "cnn": _BY_PASSES},
        has_compile=True,
    ),
    "keras": BackendInfo(
        engine="mlcli.engines.keras.engine:KerasEngine",
        title="Keras on PyTorch",
        optimizers={"logistic": _BY_PASSES, "mlp": _BY_PASSES, "cnn": _BY_PASSES},
    ),
}


def backend_info(name: str) -> BackendInfo:
    """The row of a backend; UsageError with the nearest match for a name that is not there."""
    if name not in BACKENDS:
        raise UsageError(unknown_name("backend", name, list(BACKENDS)))
    return BACKENDS[name]


def trains_iteratively(backend: str, model: str) -> bool:
    """Whether this pair is trained epoch by epoch rather than fitted in one call."""
    return "sgd" in backend_info(backend).optimizers.get(model, ())


def check_supported(backend: str, config: ExperimentConfig) -> None:
    """Refuse what the engine cannot do, with what it can; UsageError. Imports no framework."""
    info = backend_info(backend)
    model = config.model
    if model.name not in info.optimizers:
        able = [name for name, other in BACKENDS.items() if model.name in other.optimizers]
        raise UsageError(
            f"model {model.name} does not run on {info.title}, which has {', '.join(info.optimizers)}\n"
            f"{model.name} runs with --backend {' or '.join(able)}"
        )
    optimizers = info.optimizers[model.name]
    if config.optimizer is not None and config.optimizer.name not in optimizers:
        raise UsageError(_optimizer_refusal(info, model.name, config.optimizer.name))
    if isinstance(model, MlpModel):
        _check_mlp(info, model)


def _optimizer_refusal(info: BackendInfo, model: str, optimizer: str) -> str:
    optimizers = info.optimizers[model]
    if not optimizers:
        return f"model {model} on {info.title} brings its own solver: remove optimizer ({optimizer})"
    able = [name for name, other in BACKENDS.items() if optimizer in other.optimizers.get(model, ())]
    elsewhere = f"; {optimizer} runs with --backend {' or '.join(able)}" if able else ""
    return f"optimizer {optimizer} cannot train {model} on {info.title}, which has {', '.join(optimizers)}{elsewhere}"


def _check_mlp(info: BackendInfo, model: MlpModel) -> None:
    if model.activation not in info.activations:
        raise UsageError(
            f"activation {model.activation} does not exist in {info.title}, which has {', '.join(info.activations)}"
        )
    if model.dropout and not info.has_dropout:
        raise UsageError(f"{info.title} has no dropout: set model.dropout to 0, or use --backend torch or keras")


def check_runtime(backend: str, runtime: EngineRuntime) -> None:
    """Refuse compilation and reduced precision where the engine has none; UsageError. Imports no framework."""
    info = backend_info(backend)
    if runtime.compiled and not info.has_compile:
        able = [name for name, other in BACKENDS.items() if other.has_compile]
        raise UsageError(
            f"--compile: the engine for {info.title} has no torch.compile; use --backend {' or '.join(able)}"
        )
    if runtime.matmul_precision and not info.has_reduced_products:
        able = [name for name, other in BACKENDS.items() if other.has_reduced_products]
        raise UsageError(
            f"--precision {runtime.matmul_precision}: {info.title} computes in {runtime.precision}; "
            f"use --backend {' or '.join(able)}, or --precision float32"
        )


def build_engine(backend: str, spec: EngineSpec, initial_weights: Weights | None) -> Engine:
    """Import the framework of `backend` and build its engine."""
    check_runtime(backend, spec.runtime)
    module, _, name = backend_info(backend).engine.partition(":")
    with nullcontext() if module in sys.modules else _collector_at_rest():
        return cast("Engine", getattr(import_module(module), name)(spec, initial_weights))


@contextmanager
def _collector_at_rest() -> Iterator[None]:
    """No search for garbage while a framework is imported.

    It makes hundreds of thousands of objects that all stay; looking through them again and again takes about a fifth
    of torch's import. Afterwards they are set aside, so that later searches do not begin with them either.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
