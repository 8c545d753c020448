"""Devices by name on machines with and without them, the settings of a run, and torch.compile."""

from __future__ import annotations

import functools
import sys

import numpy as np
import pytest
import torch

from mlcli.config.schema import MlpModel, Sgd
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.torch.device import apply_runtime, available_devices, resolve_device
from mlcli.engines.torch.engine import TorchEngine
from mlcli.errors import UsageError
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights
from mlcli.records import Scaling


@pytest.fixture
def machine(monkeypatch):
    """Make torch report a number of CUDA devices and whether the machine has an Apple GPU."""

    def pretend(n_cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.fixture
def settings_restored():
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize(
    ("n_cuda", "mps", "name", "expected"),
    [
        (0, False, "auto", "cpu"),
        (0, True, "auto", "mps"),
        (2, True, "auto", "cuda:0"),
        (2, False, "cpu", "cpu"),
        (2, False, "cuda", "cuda:0"),
        (2, False, "cuda:1", "cuda:1"),
        (0, True, "mps", "mps"),
    ],
)
def test_names_resolve_to_devices(machine, n_cuda, mps, name, expected):
    machine(n_cuda, mps)
    assert str(resolve_device(name)) == expected


@pytest.mark.parametrize(
    ("n_cuda", "name", "message"),
    [
        (0, "cuda", "--device cuda: no CUDA device was found; use auto or cpu"),
        (0, "cuda:3", "--device cuda:3: no CUDA device was found; use auto or cpu"),
        (1, "cuda:3", "--device cuda:3: no CUDA device with the number 3 was found; use auto or cpu or cuda:0"),
        (1, "mps", "--device mps: no Apple GPU (mps) was found; use auto or cpu or cuda:0"),
    ],
)
def test_a_missing_device_is_a_usage_error_that_lists_the_others(machine, n_cuda, name, message):
    machine(n_cuda)
    with pytest.raises(UsageError) as caught:
        resolve_device(name)
    assert str(caught.value) == message


def test_available_devices_are_listed_by_the_names_that_resolve(machine):
    machine(n_cuda=2, mps=True)
    assert available_devices() == ("cpu", "cuda:0", "cuda:1", "mps")
    assert [str(resolve_device(name)) for name in available_devices()] == list(available_devices())


@pytest.mark.usefixtures("settings_restored")
def test_float64_goes_to_the_cpu_of_a_machine_with_an_apple_gpu(machine):
    machine(mps=True)
    assert str(apply_runtime(EngineRuntime(device="auto", precision="float64"))) == "cpu"
    with pytest.raises(UsageError, match="no float64"):
        apply_runtime(EngineRuntime(device="mps", precision="float64"))


@pytest.mark.usefixtures("settings_restored")
def test_the_settings_of_a_run_take_effect():
    apply_runtime(EngineRuntime(threads=2, seed=5, deterministic=True))
    first = torch.rand(3)
    assert torch.get_num_threads() == 2
    assert torch.are_deterministic_algorithms_enabled()
    apply_runtime(EngineRuntime(threads=1, seed=5))
    assert torch.equal(torch.rand(3), first)
    assert torch.get_num_threads() == 1
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.tensor([1e-30]) * 1e-12).item() == 0  # a denormal otherwise


@pytest.mark.usefixtures("settings_restored")
@pytest.mark.gpu
def test_a_gpu_multiplies_in_full_float32(cuda):
    apply_runtime(EngineRuntime(device=cuda))
    x = torch.rand(512, 512, device=cuda)
    error = ((x @ x).double() - x.double() @ x.double()).abs().max().item()
    assert error < 1e-3  # TF32 keeps 10 bits of the mantissa: its error is near 0.05


MODEL = MlpModel(hidden=(8,))
NETWORK = build_network(MODEL, (4,), 3)
X = np.random.default_rng(0).random((32, 4), dtype=np.float32)
Y = np.arange(32) % 3


def engine(*, compiled):
    spec = EngineSpec(MODEL, NETWORK, 3, Sgd(), 16, Scaling("none"), EngineRuntime(compiled=compiled))
    return TorchEngine(spec, as_precision(initial_weights(NETWORK, 0), "float32"))


def test_compilation_without_a_compiler_is_a_usage_error(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(UsageError, match="--compile.*no-such-compiler was not found"):
        engine(compiled=True)


def test_a_compiled_step_equals_the_step_that_is_not_compiled(monkeypatch):
    """Compiled without the C++ compiler, which takes long and does not change the arithmetic."""
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
