"""scikit-learn: which of its three ways of fitting serves a model, and what they share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import threadpoolctl

from mlcli.config.schema import EstimatorModel, LogisticModel, MlpModel
from mlcli.engines.contract import Engine, EngineSpec, Weights
from mlcli.errors import UsageError

if TYPE_CHECKING:
    pass


def build(spec: EngineSpec, initial_weights: Weights | None) -> Engine:
    """The scikit-learn engine for a specification; see the contract. UsageError for a model that it lacks."""
    device = sklearn_device(spec)
    if device != "cpu":
        # SciPy decides at its import whether it dispatches to other array libraries.
        os.environ.setdefault("SCIPY_ARRAY_API", "1")
    threadpoolctl.threadpool_limits(limits=spec.runtime.threads)
    match spec.model:
        case LogisticModel():
            from mlcli.engines.sklearn.logistic import LogisticEngine

            return LogisticEngine(spec, initial_weights, device)
        case MlpModel():
            from mlcli.engines.sklearn.mlp import MlpEngine

            return MlpEngine(spec, initial_weights)
        case EstimatorModel():
            from mlcli.engines.sklearn.estimator import EstimatorEngine

            return EstimatorEngine(spec)
        case _:
            raise UsageError(f"model {spec.model.name} does not run on scikit-learn: use --backend torch or keras")


def sklearn_device(spec: EngineSpec) -> str:
    """cpu, or for logistic regression a CUDA device that torch tensors can live on.

    torch is imported only where the machine has an NVIDIA driver or a GPU was asked for by name.
    """
    name = spec.runtime.device
    if name == "cpu" or (name == "auto" and (spec.model.name != "logistic" or not has_nvidia_driver())):
        return "cpu"
    if spec.model.name != "logistic":
        raise UsageError(
            f"--device {name}: scikit-learn computes {spec.model.name} on the CPU only; use --device cpu or auto"
        )
    from mlcli.engines.torch.device import resolve_device

    device = resolve_device(name)
    if device.type == "mps":
        if name == "auto":
            return "cpu"
        raise UsageError("--device mps: scikit-learn's logistic regression has no path there; use --device cpu")
    return str(device)


def has_nvidia_driver() -> bool:
    """Whether the NVIDIA driver's library can be loaded, asked without importing a framework."""
    import ctypes

    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True
