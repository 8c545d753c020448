"""Devices by name, on machines that have them and machines that do not, and the settings of a run."""

from __future__ import annotations

import pytest
import torch

from mlcli.engines.contract import EngineRuntime
from mlcli.engines.torch.device import apply_runtime, available_devices, resolve_device
from mlcli.errors import UsageError


@pytest.fixture
def machine(monkeypatch):
    """Makes torch report a number of CUDA devices and whether there is an Apple GPU."""

    def pretend(n_cuda: int = 0, mps: bool = False) -> None:
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
def test_a_name_stands_for_a_device(machine, n_cuda, mps, name, expected):
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
def test_a_device_that_is_not_there_is_refused_with_those_that_are(machine, n_cuda, name, message):
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
