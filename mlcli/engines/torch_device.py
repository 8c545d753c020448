"""Where torch computes: finds the device a run asks for and applies the settings of the run, for torch and keras."""

from __future__ import annotations

import os

import torch

from mlcli.engines.contract import EngineRuntime
from mlcli.errors import UsageError


def available_devices() -> tuple[str, ...]:
    """The devices this machine has, by the names that `--device` takes: cpu first, then cuda:0, cuda:1, ..., mps."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return tuple(names)


def resolve_device(name: str) -> torch.device:
    """The device that `name` (auto, cpu, cuda, cuda:N or mps) stands for; auto takes a GPU where there is one.

    Raises UsageError, with the devices that can be used, where it is not there.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(next((device for device in ("cuda:0", "mps") if device in available), "cpu"))
    resolved = "cuda:0" if name == "cuda" else name
    if resolved not in available:
        raise UsageError(
            f"--device {name}: {_what_is_missing(name)} was found; use {' or '.join(('auto', *available))}"
        )
    return torch.device(resolved)


def _what_is_missing(name: str) -> str:
    if name == "mps":
        return "no Apple GPU (mps)"
    if name.startswith("cuda:") and torch.cuda.is_available():
        return f"no CUDA device with the number {name.removeprefix('cuda:')}"
    return "no CUDA device"


def apply_runtime(runtime: EngineRuntime) -> torch.device:
    """Set threads, random seed and numerics for the whole process, and return the device to compute on.

    Called before anything is computed: CPU worker threads take over the handling of denormals when they start.
    Denormals count as zero, because they slow CPU arithmetic down many times and RMSprop's averages are full of
    them; TF32 is off unless it was asked for, so that float32 means the same on a GPU as on a CPU.
    Raises UsageError for a device that is not there, for float64 on mps, and for TF32 elsewhere than on CUDA.
    """
    device = _device_for(runtime)
    if runtime.products == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32: only NVIDIA GPUs have it, and this is {device}; use bf16 or float32")
    torch.set_flush_denormal(True)
    torch.set_num_threads(runtime.threads)
    torch.backends.cuda.matmul.allow_tf32 = runtime.products == "tf32"
    torch.backends.cudnn.allow_tf32 = runtime.products == "tf32"
    if runtime.deterministic:
        # cuBLAS repeats itself only with a workspace of fixed size.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if runtime.deterministic != torch.are_deterministic_algorithms_enabled():
        # Called only for a change: the call imports torch._inductor, which takes longer than importing torch.
        torch.use_deterministic_algorithms(runtime.deterministic)
    torch.manual_seed(runtime.seed)
    return device


def _device_for(runtime: EngineRuntime) -> torch.device:
    device = resolve_device(runtime.device)
    if device.type == "mps" and runtime.precision == "float64":
        if runtime.device == "auto":
            return torch.device("cpu")
        raise UsageError("--device mps: Apple GPUs have no float64; use --device cpu, or runtime.precision float32")
    return device
