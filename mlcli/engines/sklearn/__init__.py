"""The scikit-learn engines: the choice of the engine and the device for a model."""

from __future__ import annotations

import os

from mlcli.config.schema import LogisticModel, MlpModel
from mlcli.engines.contract import Engine, EngineSpec, Weights
from mlcli.errors import UsageError


def build(spec: EngineSpec, initial_weights: Weights | None) -> Engine:
    """Return the engine for a specification; UsageError for a model that scikit-learn lacks."""
    import joblib
    import threadpoolctl

    device = _device(spec)
    if device != "cpu":
        # SciPy reads this when it is imported: whether it dispatches to other array libraries.
        os.environ.setdefault("SCIPY_ARRAY_API", "1")
    threadpoolctl.threadpool_limits(limits=spec.runtime.threads)
    joblib.parallel_config("threading")  # n_jobs counts threads of this process, which share its memory and its signals
    if isinstance(spec.model, LogisticModel):
        from mlcli.engines.sklearn.logistic import LogisticEngine

        return LogisticEngine(spec, initial_weights, device)
    if isinstance(spec.model, MlpModel):
        from mlcli.engines.sklearn.mlp import MlpEngine

        return MlpEngine(spec, initial_weights)
    from mlcli.engines.sklearn.estimator import EstimatorEngine

    return EstimatorEngine(spec)


def _device(spec: EngineSpec) -> str:
    """Return cpu, or for logistic regression the CUDA device that `--device` requests or auto finds.

    torch is imported only if the machine has an NVIDIA driver or the device is requested by name.
    """
    name = spec.runtime.device
    if name == "cpu" or (name == "auto" and (spec.model.name != "logistic" or not _has_nvidia_driver())):
        return "cpu"
    if spec.model.name != "logistic":
        raise UsageError(
            f"--device {name}: scikit-learn computes model {spec.model.name} only on the CPU; use --device cpu or auto"
        )
    from mlcli.engines.torch.device import resolve_device

    device = resolve_device(name)
    if device.type == "mps":
        if name == "auto":
            return "cpu"
        raise UsageError(
            "--device mps: scikit-learn's logistic regression does not run on Apple GPUs; use --device cpu"
        )
    return str(device)


def _has_nvidia_driver() -> bool:
    """Return whether the library of the NVIDIA driver can be loaded, without importing a framework."""
    import ctypes

    try:
        ctypes.CDLL("libcuda.so.1" if os.name == "posix" else "nvcuda.dll")
    except OSError:
        return False
    return True
