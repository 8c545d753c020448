"""What an engine can and cannot do with a configuration, and the import of its framework."""

from __future__ import annotations

import gc
import pkgutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import cast

from mlcli.config.schema import MlpModel, ModelConfig, OptimizerConfig
from mlcli.engines.contract import Engine, EngineRuntime, EngineSpec, Weights
from mlcli.errors import MlcliError, UsageError
from mlcli.registry import BACKENDS, BackendInfo, alternatives, backend_info
from mlcli.text import first_line


def check_supported(backend: str, model: ModelConfig, optimizer: OptimizerConfig | None) -> None:
    """Refuse what the engine cannot do, with what it can; UsageError. Imports no framework."""
    info = backend_info(backend)
    if model.name not in info.optimizers:
        raise UsageError(
            f"model {model.name} does not run on {info.title}, which has {', '.join(info.optimizers)}\n"
            f"{model.name} runs with --backend {_backends(lambda other: model.name in other.optimizers)}"
        )
    if optimizer is not None:
        _check_optimizer(info, model.name, optimizer.name)
    if isinstance(model, MlpModel):
        if model.activation not in info.activations:
            possible = ", ".join(info.activations)
            raise UsageError(f"activation {model.activation} does not exist in {info.title}, which has {possible}")
        if model.dropout and not info.has_dropout:
            able = _backends(lambda other: other.has_dropout)
            raise UsageError(f"{info.title} has no dropout: set model.dropout to 0, or use --backend {able}")


def _check_optimizer(info: BackendInfo, model: str, optimizer: str) -> None:
    possible = info.optimizers[model]
    if optimizer in possible:
        return
    if not possible:
        raise UsageError(f"model {model} on {info.title} has its solver built in: remove optimizer ({optimizer})")
    able = _backends(lambda other: optimizer in other.optimizers.get(model, ()))
    elsewhere = f"; {optimizer} runs with --backend {able}" if able else ""
    raise UsageError(
        f"optimizer {optimizer} cannot train {model} on {info.title}, which has {', '.join(possible)}{elsewhere}"
    )


def _backends(is_able: Callable[[BackendInfo], bool]) -> str:
    """Return the names of the engines that can do something, as a sentence lists them."""
    return alternatives(name for name, info in BACKENDS.items() if is_able(info))


def check_runtime(backend: str, runtime: EngineRuntime) -> None:
    """Refuse compilation and reduced precision where the engine has none; UsageError. Imports no framework."""
    info = backend_info(backend)
    if runtime.compiled and not info.has_compile:
        able = _backends(lambda other: other.has_compile)
        raise UsageError(f"--compile: the engine for {info.title} has no torch.compile; use --backend {able}")
    if runtime.matmul_precision and not info.has_reduced_precision:
        able = _backends(lambda other: other.has_reduced_precision)
        raise UsageError(
            f"--precision {runtime.matmul_precision}: {info.title} computes in {runtime.precision}; "
            f"use --backend {able}, or --precision float32"
        )


def build_engine(backend: str, spec: EngineSpec, initial_weights: Weights | None) -> Engine:
    """Import the framework of `backend` and build its engine.

    UsageError, before the import, for what it cannot do; MlcliError for a framework that cannot be loaded.
    """
    check_runtime(backend, spec.runtime)
    check_supported(backend, spec.model, spec.optimizer)
    info = backend_info(backend)
    with nullcontext() if info.engine.partition(":")[0] in sys.modules else _garbage_collection_paused():
        return _engine_class(info)(spec, initial_weights)


def _engine_class(info: BackendInfo) -> Callable[[EngineSpec, Weights | None], Engine]:
    try:
        return cast("Callable[[EngineSpec, Weights | None], Engine]", pkgutil.resolve_name(info.engine))
    except (MlcliError, ImportError):
        raise
    except Exception as error:  # e.g. for an environment variable that the framework does not understand
        raise MlcliError(f"{info.title} cannot be loaded: {first_line(error)}") from error


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
