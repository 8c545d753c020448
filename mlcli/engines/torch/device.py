"""The device and the process-wide settings of torch, for the torch and the keras engine."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from mlcli.engines.contract import EngineRuntime
from mlcli.errors import UsageError


def available_devices() -> tuple[str, ...]:
    """Return the devices of this machine by their names for `--device`: cpu, cuda:0, cuda:1, ..., mps."""
    n_cuda = torch.cuda.device_count() if torch.cuda.is_available() else 0
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return ("cpu", *(f"cuda:{index}" for index in range(n_cuda)), *mps)


def describe_device(name: str) -> tuple[str, int | None]:
    """Return the model of an available device, and its memory in bytes; None for one that shares that of the CPU."""
    if not name.startswith("cuda"):
        return {"cpu": "CPU", "mps": "Apple GPU"}[name], None
    properties = torch.cuda.get_device_properties(name)
    return properties.name, properties.total_memory


def resolve_device(name: str) -> torch.device:
    """Return the device called `name`: auto, cpu, cuda, cuda:N or mps. auto prefers a GPU to the CPU.

    UsageError, listing the usable devices, if this machine lacks it.
    """
    available = available_devices()
    if name == "auto":
        return torch.device(next((device for device in ("cuda:0", "mps") if device in available), "cpu"))
    resolved = "cuda:0" if name == "cuda" else name
    if resolved not in available:
        missing = "no Apple GPU (mps)" if name == "mps" else "no CUDA device"
        if name.startswith("cuda:") and torch.cuda.is_available():
            missing += f" with the number {name.removeprefix('cuda:')}"
        raise UsageError(f"--device {name}: {missing} was found; use {' or '.join(('auto', *available))}")
    return torch.device(resolved)


def apply_runtime(runtime: EngineRuntime) -> torch.device:
    """Set threads, random seed and numerics for the whole process, and return the device to compute on.

    Must be called before any computation, because CPU worker threads inherit the handling of denormals when they
    start. Denormals are flushed to zero: they slow down CPU arithmetic many times, and the averages of RMSprop are
    full of them. TF32 is off unless requested, so that float32 means the same on a GPU as on a CPU.

    UsageError for a device that this machine lacks, for float64 on mps, and for TF32 on other devices than CUDA.
    """
    device = resolve_device(runtime.device)
    if device.type == "mps" and runtime.precision == "float64":
        if runtime.device != "auto":
            raise UsageError("--device mps: Apple GPUs have no float64; use --device cpu, or runtime.precision float32")
        device = torch.device("cpu")
    if runtime.matmul_precision == "tf32" and device.type != "cuda":
        raise UsageError(
            f"--precision tf32: only NVIDIA GPUs have TF32, and the device is {device}; use --precision bf16 or float32"
        )
    torch.set_flush_denormal(True)
    torch.set_num_threads(runtime.threads)
    torch.backends.cuda.matmul.allow_tf32 = runtime.matmul_precision == "tf32"
    torch.backends.cudnn.allow_tf32 = runtime.matmul_precision == "tf32"
    if runtime.deterministic:
        # cuBLAS is deterministic only with a workspace of fixed size.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if runtime.deterministic != torch.are_deterministic_algorithms_enabled():
        # Skipped if nothing changes: the call imports torch._inductor, which takes longer than importing torch.
        torch.use_deterministic_algorithms(runtime.deterministic)
    torch.manual_seed(runtime.seed)
    return device


# Each batch size is compiled separately, in training and in prediction; torch stops compiling after 8 by default.
_MOST_COMPILATIONS = 256


class Bf16Sequential(nn.Sequential):
    """A Sequential that computes products in bfloat16 by autocast; weights and outputs keep their dtype."""

    def forward(self, input: Tensor) -> Tensor:
        outputs = input
        with torch.autocast(input.device.type, dtype=torch.bfloat16):
            for module in self:
                outputs = module(outputs)
        return outputs.to(input.dtype)


def compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """Return the model wrapped by torch.compile, which compiles it at the first call with each batch size.

    UsageError if a compiler that torch.compile needs is missing.
    """
    _require_compiler(device)
    import torch._dynamo

    torch._dynamo.config.recompile_limit = _MOST_COMPILATIONS
    return torch.compile(model, dynamic=False)


def _require_compiler(device: torch.device) -> None:
    if device.type == "cuda" and find_spec("triton") is None:
        raise UsageError("--compile: torch.compile needs triton on a GPU; install it: pip install triton")
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise UsageError(
            f"--compile: torch.compile needs a C++ compiler, and {compiler} was not found\n"
            "install it, name another compiler in the environment variable CXX, or omit --compile"
        )
