"""The common part of the three scikit-learn engines: matrices of scaled samples, and the benchmark."""

from __future__ import annotations

import gc
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.engines.contract import Engine, EngineSpec
from mlcli.errors import UsageError


class SklearnEngine(Engine):
    """An engine that computes on matrices of scaled samples in host memory."""

    device = "cpu"
    block_seconds: Mapping[str, float] = MappingProxyType({"forward": 2e-3})  # see Bench

    def __init__(self, spec: EngineSpec) -> None:
        self._n_classes = spec.n_classes
        self._scaling = spec.scaling
        self.precision = spec.runtime.precision

    def matrix(self, x: NDArray[Any]) -> NDArray[np.floating]:
        """Return `(x - shift) / scale` as a new C-ordered matrix (n, features) in the precision of the run."""
        dtype = np.float64 if self._scaling.is_per_feature else self.precision
        matrix: NDArray[np.floating] = np.array(x, dtype=dtype, order="C")
        if self._scaling.shift is not None:
            matrix -= self._scaling.shift.astype(dtype)
        if self._scaling.scale is not None:
            matrix /= np.asarray(self._scaling.scale, dtype=dtype)
        return matrix.astype(self.precision, copy=False).reshape(len(matrix), -1)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x, self._y = self.matrix(x), np.asarray(y)

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> ArrayBench:
        return ArrayBench(self, x, y, include_transfer=include_transfer)

    @abstractmethod
    def forward(self, matrix: NDArray[np.floating]) -> NDArray[Any]:
        """Return the outputs of the model for scaled samples, on the CPU even if it was fitted on a GPU."""

    def train_batches(
        self, x: NDArray[np.floating], y: NDArray[np.int64], learning_rate: float, batch_size: int
    ) -> None:
        """Take one training step per batch of scaled samples."""
        raise UsageError("this model is trained by a single fit and has no training step")


@dataclass(frozen=True)
class Batches:
    """Consecutive batches, concatenated."""

    x: NDArray[Any]
    y: NDArray[np.int64]
    batch_size: int


class ArrayBench:
    """Implements `Bench`. Nothing is copied to a device: include_transfer measures only cast and scaling."""

    device = "cpu"

    def __init__(self, engine: SklearnEngine, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool) -> None:
        self._engine = engine
        self._includes_transfer = include_transfer
        self._x, self._y = x if include_transfer else engine.matrix(x), y
        self.block_seconds = engine.block_seconds

    def batches(self, starts: Sequence[int], batch_size: int) -> Batches:
        """Return a view if the batches are adjacent; else, where the samples start over, a copy."""
        rows: Any = slice(starts[0], starts[-1] + batch_size)
        if any(after - before != batch_size for before, after in pairwise(starts)):
            rows = np.concatenate([np.arange(start, start + batch_size) for start in starts])
        return Batches(self._x[rows], self._y[rows], batch_size)

    def forward(self, batches: Batches) -> None:
        for start in range(0, len(batches.y), batches.batch_size):
            self._engine.forward(self._prepared(batches.x[start : start + batches.batch_size]))

    def train(self, batches: Batches, learning_rate: float) -> None:
        self._engine.train_batches(self._prepared(batches.x), batches.y, learning_rate, batches.batch_size)

    def _prepared(self, x: NDArray[Any]) -> NDArray[Any]:
        return self._engine.matrix(x) if self._includes_transfer else x

    def matrix_product(self, n: int) -> Callable[[], None]:
        generator = np.random.default_rng(0)
        left, right = (generator.random((n, n)).astype(self._engine.precision) for _ in range(2))
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
