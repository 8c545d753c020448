"""What torch offers for speed beyond the settings of a run: bfloat16 products and compilation."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from importlib.util import find_spec

import torch
from torch import Tensor, nn

from mlcli.errors import UsageError

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
