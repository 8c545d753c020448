"""The common part of the torch and the keras engine: samples on a device, prediction, and the benchmark."""

from __future__ import annotations

import gc
import warnings
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from mlcli.config.schema import Lbfgs
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.torch.device import apply_runtime
from mlcli.errors import UsageError
from mlcli.memory import BYTES_PER_ROW, MappedPages, available_bytes, mapping_of
from mlcli.records import Scores, StepResults
from mlcli.registry import ITERATIVE_OPTIMIZERS, alternatives

Batch = tuple[Tensor, Tensor]  # samples and their classes
_COPIES = 2  # of the training split: placed, and in the order of an epoch
_BLOCK_VALUES = 2**16  # scaled at a time: they stay in the cache of the processor


@dataclass(frozen=True)
class LazyBatches:
    """Batches that are prepared one by one during each iteration."""

    sources: Sequence[Any]
    prepare: Callable[[Any], Batch]

    def __len__(self) -> int:
        return len(self.sources)

    def __iter__(self) -> Iterator[Batch]:
        return map(self.prepare, self.sources)


Batches = list[Batch] | LazyBatches


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Return a tensor that shares its memory with the array."""
    with warnings.catch_warnings():
        # torch warns about memory-mapped data, which is read-only; the engines never write to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a copy in host memory, in C order."""
    return tensor.detach().cpu().contiguous().numpy().copy()


def copy_into(tensor: Tensor, array: NDArray[Any]) -> None:
    """Overwrite a tensor in place, on its device and in its dtype."""
    with torch.no_grad():
        tensor.copy_(torch.tensor(array))


class TensorEngine(Engine):
    """An engine that computes with torch tensors. The abstract methods add what prediction and the benchmark call."""

    block_seconds: Mapping[str, float]  # see Bench

    def __init__(self, spec: EngineSpec) -> None:
        if spec.network is None:
            raise UsageError(f"model {spec.model.name} has no layers; it runs with --backend sklearn only")
        if isinstance(spec.optimizer, Lbfgs):
            raise UsageError(f"lbfgs does not train iteratively; use optimizer {alternatives(ITERATIVE_OPTIMIZERS)}")
        if spec.optimizer is None or spec.batch_size is None:
            raise UsageError("iterative training needs an optimizer and a batch size")
        self._network = spec.network
        self._optimizer_config = spec.optimizer
        self._batch_size = spec.batch_size
        self.torch_device = apply_runtime(spec.runtime)
        self.device = str(self.torch_device)
        self._dtype: torch.dtype = getattr(torch, spec.runtime.precision)
        self._in_bf16 = spec.runtime.matmul_precision == "bf16"
        self.product_dtype = torch.bfloat16 if self._in_bf16 else self._dtype  # of matrix products
        self._samples = spec.runtime.samples
        self._pages = MappedPages()
        self._is_scaled_on_host = spec.scaling.is_per_feature  # tables, in float64, which some devices lack
        self._class_weights: Tensor | None = None
        if spec.class_weights is not None:
            self._class_weights = torch.tensor(spec.class_weights, dtype=self._dtype, device=self.torch_device)
        self._shift, self._scale = map(self._constant, (spec.scaling.shift, spec.scaling.scale))

    def _constant(self, value: Any) -> Tensor | float | None:
        if value is None or isinstance(value, float | int):
            return value
        if self._is_scaled_on_host:
            return torch.as_tensor(value, dtype=torch.float64)
        return torch.as_tensor(value, dtype=self._dtype, device=self.torch_device)

    def on_device(self, x: Tensor) -> Tensor:
        """Return samples on the device, ready for `scaled`. x: on the host, in any dtype; stays unchanged."""
        if self._is_scaled_on_host:
            x = self._scale_in_place(x.to(torch.float64, copy=True))
        if x.is_floating_point():
            x = x.to(self._dtype)
        return x.to(self.torch_device)

    def scaled(self, x: Tensor) -> Tensor:
        """Return the scaled samples in the precision of the run. x: from `on_device`; stays unchanged."""
        return x if self._is_scaled_on_host else self._scale_in_place(x.to(self._dtype, copy=True))

    def _scale_in_place(self, x: Tensor) -> Tensor:
        if self._shift is not None:
            x.sub_(self._shift)
        if self._scale is not None:
            x.div_(self._scale)
        return x

    def prepared(self, batch: Batch) -> Batch:
        """Return the batch on the device, with scaled samples."""
        x, y = batch
        return self.scaled(self.on_device(x)), y.to(self.torch_device)

    def _logits_of(self, x: NDArray[Any]) -> Tensor:
        logits = self.logits(self.scaled(self.on_device(as_tensor(x))))
        self._pages.was_read(x)
        return logits

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._y = as_tensor(y).to(self.torch_device)
        self._mapped = x if self._stays_mapped(x) else None
        self._x = self._placed(x) if self._mapped is None else None

    def _stays_mapped(self, x: NDArray[Any]) -> bool:
        """Return whether batches are gathered from a mapped file, instead of samples that are kept on the device."""
        if self._samples != "auto" or mapping_of(x) is None:
            return self._samples == "mapped"
        n_bytes = x.size * self._dtype.itemsize if self._is_scaled_on_host else x.nbytes
        is_cuda = self.torch_device.type == "cuda"
        n_free = torch.cuda.mem_get_info(self.torch_device)[0] if is_cuda else available_bytes()
        return 2 * _COPIES * n_bytes > n_free

    def _placed(self, x: NDArray[Any]) -> Tensor:
        """Return all samples on the device. Tables are scaled block by block, because that takes float64."""
        if not self._is_scaled_on_host or not len(x):
            return self.on_device(as_tensor(x))
        placed = torch.empty(x.shape, dtype=self._dtype, device=self.torch_device)
        n_rows = max(1, _BLOCK_VALUES // max(1, x[0].size))
        for start in range(0, len(x), n_rows):
            block = x[start : start + n_rows]
            placed[start : start + n_rows] = self.on_device(as_tensor(block))
            self._pages.was_read(block)
        return placed

    def gathered(self, positions: Tensor) -> Tensor:
        """Return the scaled samples at some positions of the placed split."""
        if self._mapped is None:
            assert self._x is not None
            return self.scaled(self._x.index_select(0, positions))
        rows = np.take(self._mapped, positions.cpu().numpy(), axis=0)
        self._pages.was_read(self._mapped, len(rows) * max(BYTES_PER_ROW, rows[:1].nbytes))
        return self.scaled(self.on_device(as_tensor(rows)))

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        with torch.inference_mode():
            starts = range(0, max(1, len(x)), batch_size)
            logits = torch.cat([self._logits_of(x[start : start + batch_size]) for start in starts])
            return Scores(
                labels=logits.argmax(dim=1).cpu().numpy(),
                logits=logits.cpu().numpy(),
                probabilities=logits.softmax(dim=1).cpu().numpy(),
            )

    def step_results(self, logits: Tensor, y: Tensor) -> StepResults:
        """Return the results of consecutive steps. logits: (n, classes) of their samples, before the update of each."""
        losses = functional.cross_entropy(logits, y, reduction="none").cpu().double().numpy()
        return StepResults.from_samples(losses, self._batch_size, int((logits.argmax(dim=1) == y).sum()))

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> TorchBench:
        return TorchBench(self, (as_tensor(x), as_tensor(y)), include_transfer=include_transfer)

    @abstractmethod
    def logits(self, x: Tensor) -> Tensor:
        """Return the logits (n, classes) of scaled samples, computed without dropout."""

    @abstractmethod
    def forward_batches(self, batches: Batches) -> None:
        """Compute the outputs of the model for each batch, without dropout and without gradients."""

    @abstractmethod
    def train_batches(self, batches: Batches, learning_rate: float, batch_size: int) -> None:
        """Take one training step per batch of batch_size samples."""


class TorchBench:
    """Implements `Bench` with batches sliced from samples on the device or, with include_transfer, on the host."""

    def __init__(self, engine: TensorEngine, samples: Batch, *, include_transfer: bool) -> None:
        self._engine = engine
        self._includes_transfer = include_transfer
        self._x, self._y = samples if include_transfer else engine.prepared(samples)
        self._device = engine.torch_device
        self.device = engine.device
        self.block_seconds = engine.block_seconds

    def batches(self, starts: Sequence[int], batch_size: int) -> list[Batch]:
        return [(self._x[start : start + batch_size], self._y[start : start + batch_size]) for start in starts]

    def forward(self, batches: list[Batch]) -> None:
        self._engine.forward_batches(self._prepared(batches))
        self._synchronize()

    def train(self, batches: list[Batch], learning_rate: float) -> None:
        self._engine.train_batches(self._prepared(batches), learning_rate, batch_size=len(batches[0][1]))
        self._synchronize()

    def _prepared(self, batches: list[Batch]) -> Batches:
        return LazyBatches(batches, self._engine.prepared) if self._includes_transfer else batches

    def matrix_product(self, n: int) -> Callable[[], None]:
        left, right = (torch.rand(n, n, device=self._device).to(self._engine.product_dtype) for _ in range(2))
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
