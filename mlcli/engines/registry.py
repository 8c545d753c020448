"""What an engine can and cannot do with a configuration, and the import of its framework."""

from __future__ import annotations

import gc
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

from mlcli.config.schema import ExperimentConfig, MlpModel
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec, Weights
from mlcli.errors import UsageError
from mlcli.registry import BACKENDS, BackendInfo, alternatives, backend_info


def check_supported(backend: str, config: ExperimentConfig) -> None:
    """Refuse what the engine cannot do, with what it can; UsageError. Imports no framework."""
    info = backend_info(backend)
    model = config.model
    if model.name not in info.optimizers:
        able = [name for name, other in BACKENDS.items() if model.name in other.optimizers]
        raise UsageError(
            f"model {model.name} does not run on {info.title}, which has {', '.join(info.optimizers)}\n"
            f"{model.name} runs with --backend {alternatives(able)}"
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
    elsewhere = f"; {optimizer} runs with --backend {alternatives(able)}" if able else ""
    return f"optimizer {optimizer} cannot train {model} on {info.title}, which has {', '.join(optimizers)}{elsewhere}"


def _check_mlp(info: BackendInfo, model: MlpModel) -> None:
    if model.activation not in info.activations:
        raise UsageError(
            f"activation {model.activation} does not exist in {info.title}, which has {', '.join(info.activations)}"
        )
    if model.dropout and not info.has_dropout:
        able = [name for name, other in BACKENDS.items() if other.has_dropout]
        raise UsageError(f"{info.title} has no dropout: set model.dropout to 0, or use --backend {alternatives(able)}")


def check_runtime(backend: str, runtime: EngineRuntime) -> None:
    """Refuse compilation and reduced precision where the engine has none; UsageError. Imports no framework."""
    info = backend_info(backend)
    if runtime.compiled and not info.has_compile:
        able = [name for name, other in BACKENDS.items() if other.has_compile]
        raise UsageError(
            f"--compile: the engine for {info.title} has no torch.compile; use --backend {alternatives(able)}"
        )
    if runtime.matmul_precision and not info.has_reduced_precision:
        able = [name for name, other in BACKENDS.items() if other.has_reduced_precision]
        raise UsageError(
            f"--precision {runtime.matmul_precision}: {info.title} computes in {runtime.precision}; "
            f"use --backend {alternatives(able)}, or --precision float32"
        )


def build_engine(backend: str, spec: EngineSpec, initial_weights: Weights | None) -> Engine:
    """Import the framework of `backend` and build its engine."""
    check_runtime(backend, spec.runtime)
    name = backend_info(backend).engine
    with nullcontext() if name.partition(":")[0] in sys.modules else _garbage_collection_paused():
        return cast("Engine", pkgutil.resolve_name(name)(spec, initial_weights))


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause garbage collection while a framework is imported, and exclude what it made from later collections.

    An import makes hundreds of thousands of objects that all stay; searching them takes a fifth of torch's import.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()
