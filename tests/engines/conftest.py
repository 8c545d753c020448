"""The GPU, or the reason why a test that needs one is skipped."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    return "cuda:0"
