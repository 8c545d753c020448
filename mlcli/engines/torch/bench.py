"""What a benchmark times on torch devices: batches that are cut from samples held there. For torch and keras."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]  # samples and their classes


class TrainBatches(Protocol):
    """One step a batch, n_batches of them with batch_size samples each."""

    def __call__(self, batches: Iterable[Batch], learning_rate: float, *, n_batches: int, batch_size: int) -> None: ...


@dataclass(frozen=True)
class DeviceWork:
    """An engine's own code, and where it computes."""

    make_ready: Callable[[Tensor, Tensor], Batch]  # brings a batch to the device, casts and scales it
    forward: Callable[[Iterable[Batch]], None]
    train: TrainBatches
    block_seconds: Mapping[str, float]
    device: torch.device
    dtype: torch.dtype  # of matrix products


@dataclass(frozen=True)
class _OnItsTurn:
    """Batches that are made ready one by one. Not a generator, because Keras looks at the first batch beforehand."""

    batches: list[Batch]
    make_ready: Callable[[Tensor, Tensor], Batch]

    def __iter__(self) -> Iterator[Batch]:
        for x, y in self.batches:
            yield self.make_ready(x, y)


class TorchBench:
    """See the contract."""

    def __init__(self, work: DeviceWork, x: Tensor, y: Tensor, *, include_transfer: bool) -> None:
        self._work = work
        self._includes_transfer = include_transfer
        self._x, self._y = (x, y) if include_transfer else work.make_ready(x, y)
        self.device = str(work.device)
        self.block_seconds = work.block_seconds

    def tile(self, n_samples: int) -> None:
        n_copies = math.ceil(n_samples / len(self._x))
        if n_copies > 1:
            tiled = self._x.repeat(n_copies, *[1] * (self._x.ndim - 1))
            self._x, self._y = tiled, self._y.repeat(n_copies)

    def batches(self, starts: Sequence[int], batch_size: int) -> list[Batch]:
        return [(self._x[start : start + batch_size], self._y[start : start + batch_size]) for start in starts]

    def forward(self, batches: list[Batch]) -> None:
        self._work.forward(self._ready(batches))
        self._synchronize()

    def train(self, batches: list[Batch], learning_rate: float) -> None:
        batch_size = len(batches[0][1])
        self._work.train(self._ready(batches), learning_rate, n_batches=len(batches), batch_size=batch_size)
        self._synchronize()

    def _ready(self, batches: list[Batch]) -> Iterable[Batch]:
        """The batches as the model takes them; where they lie on the host, each follows when its turn comes."""
        return _OnItsTurn(batches, self._work.make_ready) if self._includes_transfer else batches

    def matrix_product(self, n: int) -> Callable[[], None]:
        left, right = (torch.rand(n, n, device=self._work.device).to(self._work.dtype) for _ in range(2))
        product = torch.empty_like(left)

        def multiply() -> None:
            torch.mm(left, right, out=product)
            self._synchronize()

        return multiply

    def _synchronize(self) -> None:
        match self._work.device.type:
            case "cuda":
                torch.cuda.synchronize(self._work.device)
            case "mps":
                torch.mps.synchronize()

    def start_memory_watch(self) -> None:
        if self._work.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._work.device)

    def peak_memory_bytes(self) -> int | None:
        if self._work.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._work.device)
        return None

    def release_memory(self) -> None:
        gc.collect()
        match self._work.device.type:
            case "cuda":
                torch.cuda.empty_cache()
            case "mps":
                torch.mps.empty_cache()
