"""The benchmark of the scikit-learn engines: batches sliced from samples in memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ArrayWork:
    """The code of an engine that a benchmark measures."""

    prepare: Callable[[NDArray[Any]], NDArray[np.floating]]  # casts and scales samples
    forward: Callable[[NDArray[np.floating]], object]  # computes the outputs of one batch
    # Trains on samples, classes, learning rate and batch size, one step per batch. None for single fits.
    train: Callable[[NDArray[Any], NDArray[np.int64], float, int], None] | None
    block_seconds: Mapping[str, float]  # see Bench
    precision: str  # of matrix products


@dataclass(frozen=True)
class Batches:
    """Consecutive batches, concatenated."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    batch_size: int


class ArrayBench:
    """Implements `Bench`. Nothing is copied to a device: include_transfer measures only cast and scaling."""

    device = "cpu"

    def __init__(self, work: ArrayWork, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool) -> None:
        self._work = work
        self._includes_transfer = include_transfer
        self._x, self._y = x if include_transfer else work.prepare(x), y
        self.block_seconds = work.block_seconds

    def batches(self, starts: Sequence[int], batch_size: int) -> Batches:
        """Return a view if the batches are adjacent; else, where the samples start over, a copy."""
        first, end = starts[0], starts[-1] + batch_size
        if all(after - before == batch_size for before, after in pairwise(starts)):
            return Batches(self._x[first:end], self._y[first:end], batch_size)
        rows = [slice(start, start + batch_size) for start in starts]
        return Batches(
            np.concatenate([self._x[row] for row in rows]), np.concatenate([self._y[row] for row in rows]), batch_size
        )

    def forward(self, batches: Batches) -> None:
        for start in range(0, len(batches.y), batches.batch_size):
            x = batches.x[start : start + batches.batch_size]
            self._work.forward(self._work.prepare(x) if self._includes_transfer else x)

    def train(self, batches: Batches, learning_rate: float) -> None:
        if self._work.train is None:
            raise UsageError("this model is trained by a single fit and has no training step")
        x = self._work.prepare(batches.x) if self._includes_transfer else batches.x
        self._work.train(x, batches.y, learning_rate, batches.batch_size)

    def matrix_product(self, n: int) -> Callable[[], None]:
        generator = np.random.default_rng(0)
        left, right = (generator.random((n, n)).astype(self._work.precision) for _ in range(2))
        product = np.empty_like(left)

        def multiply() -> None:
            np.matmul(left, right, out=product)

        return multiply

    def start_memory_watch(self) -> None:
        """Do nothing: there is no device memory."""

    def peak_memory_bytes(self) -> None:
        return None

    def release_memory(self) -> None:
        gc.collect()
