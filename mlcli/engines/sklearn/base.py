"""The common part of the three scikit-learn engines: matrices of scaled samples, and the benchmark."""

from __future__ import annotations

import gc
import math
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
from mlcli.memory import MappedPages, available_bytes, mapping_of

_BLOCK_ROWS = 2**10  # scaled at a time: they stay in the cache of the processor


class SklearnEngine(Engine):
    """An engine that computes on matrices of scaled samples in host memory."""

    device = "cpu"
    block_seconds: Mapping[str, float] = MappingProxyType({"forward": 2e-3})  # see Bench

    def __init__(self, spec: EngineSpec) -> None:
        self._n_classes = spec.n_classes
        self._scaling = spec.scaling
        self.precision = spec.runtime.precision
        self._pages = MappedPages()

    def matrix(self, x: NDArray[Any]) -> NDArray[np.floating]:
        """Return `(x - shift) / scale` as a new C-ordered matrix (n, features) in the precision of the run."""
        if len(x) <= _BLOCK_ROWS:
            return self._scaled(x)
        matrix = np.empty((len(x), x[0].size), dtype=self.precision)
        for start in range(0, len(x), _BLOCK_ROWS):  # tables take float64 to scale
            matrix[start : start + _BLOCK_ROWS] = self._scaled(x[start : start + _BLOCK_ROWS])
        return matrix

    def _scaled(self, x: NDArray[Any]) -> NDArray[np.floating]:
        dtype = np.float64 if self._scaling.is_per_feature else self.precision
        matrix: NDArray[np.floating] = np.array(x, dtype=dtype, order="C")
        if self._scaling.shift is not None:
            matrix -= self._scaling.shift.astype(dtype)
        if self._scaling.scale is not None:
            matrix /= np.asarray(self._scaling.scale, dtype=dtype)
        self._pages.was_read(x)
        return matrix.astype(self.precision, copy=False).reshape(len(matrix), math.prod(x.shape[1:]))

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x, self._y = self.whole_matrix(x), np.asarray(y)

    def whole_matrix(self, x: NDArray[Any]) -> NDArray[np.floating]:
        """Return the matrix of all training samples; MemoryError if it does not fit into the free memory."""
        n_bytes = x.size * np.dtype(self.precision).itemsize
        if mapping_of(x) is not None and n_bytes > (n_free := available_bytes()):
            raise MemoryError(
                f"this model is fitted to all samples at once, which take {n_bytes:,} bytes, and {n_free:,} are free; "
                "a network, or logistic regression by torch or keras, reads them batch by batch"
            )
        return self.matrix(x)

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
