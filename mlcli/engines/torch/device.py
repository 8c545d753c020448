"""Where torch computes: finds the device a run asks for and applies the settings of the run, for torch and keras."""

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
    if runtime.matmul_precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32: only NVIDIA GPUs have it, and this is {device}; use bf16 or float32")
    torch.set_flush_denormal(True)
    torch.set_num_threads(runtime.threads)
    torch.backends.cuda.matmul.allow_tf32 = runtime.matmul_precision == "tf32"
    torch.backends.cudnn.allow_tf32 = runtime.matmul_precision == "tf32"
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


# Every batch size, in training and in prediction, is a compilation of its own; torch gives up after 8 by default.
_MOST_COMPILATIONS = 256


class Bf16Sequential(nn.Sequential):
    """A Sequential that multiplies in bfloat16 by autocast; weights and outputs keep their type."""

    def forward(self, input: Tensor) -> Tensor:
        outputs = input
        with torch.autocast(input.device.type, dtype=torch.bfloat16):
            for module in self:
                outputs = module(outputs)
        return outputs.to(input.dtype)


def compiled(model: nn.Module, device: torch.device) -> Callable[[Tensor], Tensor]:
    """The model through torch.compile, which compiles it for each batch size when it first meets it.

    UsageError where a compiler that this needs is missing.
    """
    _require_compiler(device)
    import torch._dynamo

    torch._dynamo.config.recompile_limit = _MOST_COMPILATIONS
    return torch.compile(model, dynamic=False)


def _require_compiler(device: torch.device) -> None:
    if device.type == "cuda" and find_spec("triton") is None:
        raise UsageError("--compile: torch.compile needs triton on a GPU, and it is not installed: pip install triton")
    compiler = os.environ.get("CXX") or {"darwin": "clang++", "win32": "cl"}.get(sys.platform, "g++")
    if shutil.which(compiler) is None:
        raise UsageError(
            f"--compile: torch.compile needs a C++ compiler, and there is no {compiler}\n"
            "install one, name another in the variable CXX, or leave --compile away"
        )
