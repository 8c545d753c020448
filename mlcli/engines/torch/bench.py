"""The benchmark of the torch and the keras engine: batches sliced from samples on the device or on the host."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mlcli.engines.torch.tensors import Batch, LazyBatches, SampleScaler


class TrainBatches(Protocol):
    """Takes one training step per batch. n_batches: number of batches; batch_size: samples in each of them."""

    def __call__(self, batches: Iterable[Batch], learning_rate: float, *, n_batches: int, batch_size: int) -> None: ...


@dataclass(frozen=True)
class DeviceWork:
    """The code of an engine that a benchmark measures."""

    scale: SampleScaler
    forward: Callable[[Iterable[Batch]], None]
    train: TrainBatches
    block_seconds: Mapping[str, float]  # see Bench
    product_dtype: torch.dtype  # of matrix products

    def prepare(self, batch: Batch) -> Batch:
        """Return the batch on the device, with the samples cast and scaled."""
        x, y = batch
        return self.scale(x.to(self.scale.device)), y.to(self.scale.device)


class TorchBench:
    """Implements `Bench` on a torch device."""

    def __init__(self, work: DeviceWork, x: Tensor, y: Tensor, *, include_transfer: bool) -> None:
        self._work = work
        self._device = work.scale.device
        self._includes_transfer = include_transfer
        self._x, self._y = (x, y) if include_transfer else work.prepare((x, y))
        self.device = str(self._device)
        self.block_seconds = work.block_seconds

    def batches(self, starts: Sequence[int], batch_size: int) -> list[Batch]:
        return [(self._x[start : start + batch_size], self._y[start : start + batch_size]) for start in starts]

    def forward(self, batches: list[Batch]) -> None:
        self._work.forward(self._prepared(batches))
        self._synchronize()

    def train(self, batches: list[Batch], learning_rate: float) -> None:
        batch_size = len(batches[0][1])
        self._work.train(self._prepared(batches), learning_rate, n_batches=len(batches), batch_size=batch_size)
        self._synchronize()

    def _prepared(self, batches: list[Batch]) -> Iterable[Batch]:
        return LazyBatches(batches, self._work.prepare) if self._includes_transfer else batches

    def matrix_product(self, n: int) -> Callable[[], None]:
        left, right = (torch.rand(n, n, device=self._device).to(self._work.product_dtype) for _ in range(2))
        product = torch.empty_like(left)

        def multiply() -> None:
            torch.mm(left, right, out=product)
            self._synchronize()

        return multiply

    def _synchronize(self) -> None:
        match self._device.type:
            case "cuda":
                torch.cuda.synchronize(self._device)
            case "mps":
                torch.mps.synchronize()

    def start_memory_watch(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)

    def peak_memory_bytes(self) -> int | None:
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device)
        return None

    def release_memory(self) -> None:
        gc.collect()
        match self._device.type:
            case "cuda":
                torch.cuda.empty_cache()
            case "mps":
                torch.mps.empty_cache()
