"""torch.compile: the same steps, really compiled."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
import torch

from mlcli.config.schema import MlpModel, Sgd
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.torch.engine import TorchEngine
from mlcli.errors import UsageError
from mlcli.models.initial_weights import as_precision, initial_weights
from mlcli.models.layers import build_network
from mlcli.records import Scaling

MODEL = MlpModel(hidden=(8,))
NETWORK = build_network(MODEL, (4,), 3)
X = np.random.default_rng(0).random((32, 4), dtype=np.float32)
Y = np.arange(32) % 3


def engine(*, compiled: bool) -> TorchEngine:
    spec = EngineSpec(MODEL, NETWORK, 3, Sgd(), 16, Scaling("none"), EngineRuntime(compiled=compiled))
    return TorchEngine(spec, as_precision(initial_weights(NETWORK, 0), "float32"))


def test_without_a_compiler_the_flag_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match="--compile.*no-such-compiler was not found"):
        engine(compiled=True)


def test_a_compiled_step_is_compiled_and_is_the_same_step(monkeypatch):
    """Without the C++ compiler at its end, which takes long and adds nothing that could differ here."""
    from torch._dynamo.utils import counters

    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    counters.clear()
    plain, fast = engine(compiled=False), engine(compiled=True)
    for one in (plain, fast):
        bench = one.bench(X, Y)
        bench.train(bench.batches([0, 16], 16), 0.1)
    assert counters["stats"]["unique_graphs"] == 1
    for name, array in plain.weights().items():
        np.testing.assert_allclose(fast.weights()[name], array, atol=1e-6)
