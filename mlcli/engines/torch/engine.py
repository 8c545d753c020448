"""PyTorch: an `nn.Sequential`, the training split resident on the device, batches gathered once an epoch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.step_results import batch_sizes
from mlcli.engines.torch.bench import Batch, DeviceWork, TorchBench
from mlcli.engines.torch.device import Bf16Sequential, apply_runtime, compiled
from mlcli.engines.torch.optimizers import TorchOptimizer
from mlcli.engines.weight_check import check_weights
from mlcli.errors import UsageError
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Softmax
from mlcli.records import EngineState, FitResult, Scores, StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
# Keras clips probabilities here before the logarithm; the same bound keeps the engines equal.
_PROBABILITY_FLOOR = 1e-7


class TorchEngine:
    """See the contract. One step is: forward, loss, `torch.autograd.grad`, optimizer."""

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        if spec.network is None:
            raise UsageError(f"model {spec.model.name} does not run on PyTorch: use --backend sklearn")
        if spec.optimizer is None or spec.batch_size is None:
            raise UsageError("PyTorch trains in passes: an optimizer and a batch size are needed")
        self._network = spec.network
        self._batch_size = spec.batch_size
        self._device = apply_runtime(spec.runtime)
        self.device = str(self._device)
        self._dtype = torch.float64 if spec.runtime.precision == "float64" else torch.float32
        self._shift = _constant(spec.scaling.shift, self._device, self._dtype)
        self._scale = _constant(spec.scaling.scale, self._device, self._dtype)
        self._product_dtype = torch.bfloat16 if spec.runtime.matmul_precision == "bf16" else self._dtype
        container = Bf16Sequential if spec.runtime.matmul_precision == "bf16" else nn.Sequential
        self._model = container(*map(_module, spec.network.layers)).to(self._device, self._dtype)
        self._body = self._model[:-1] if spec.network.ends_in_softmax else self._model
        self._parameters = list(self._model.parameters())
        self._optimizer = TorchOptimizer(spec.optimizer, dict(self._model.named_parameters()))
        if initial_weights is not None:
            self.load_weights(initial_weights)
        self._call: Callable[[Tensor], Tensor] = self._model
        if spec.runtime.compiled:
            self._call = compiled(self._model, self._device)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x = _tensor(x).to(self._device)
        self._y = _tensor(y).to(self._device)
        # The epoch's samples in order: one buffer for all epochs, so that no epoch pays for fresh pages.
        self._x_epoch = torch.empty_like(self._x)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        index = torch.from_numpy(order).to(self._device)
        x_epoch = self._x_epoch[: len(order)]
        torch.index_select(self._x, 0, index, out=x_epoch)
        y_epoch = self._y.index_select(0, index)
        scores = torch.empty(len(order), self._network.n_classes, device=self._device, dtype=self._dtype)
        losses = torch.empty(len(learning_rates), device=self._device, dtype=self._dtype)
        self._model.train()
        for step, batch in enumerate(self._batches(len(order))):
            self._train_step(
                self._scaled(x_epoch[batch]), y_epoch[batch], learning_rates[step], scores[batch], losses[step]
            )
        return self._pass_result(losses, scores, y_epoch)

    def _batches(self, n_samples: int) -> Iterator[slice]:
        for start in range(0, n_samples, self._batch_size):
            yield slice(start, start + self._batch_size)

    def _train_step(self, x: Tensor, y: Tensor, lr: float, scores: Tensor, loss_out: Tensor) -> None:
        outputs = self._call(x)
        loss = self._loss(outputs, y)
        gradients = torch.autograd.grad(loss, self._parameters)
        self._optimizer.step(gradients, float(lr))
        scores.copy_(outputs.detach())
        loss_out.copy_(loss.detach())

    def _loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Mean cross-entropy in nats, of logits or, for a model that ends in a softmax, of probabilities."""
        if not self._network.ends_in_softmax:
            return functional.cross_entropy(outputs, y)
        shares = outputs / outputs.sum(dim=1, keepdim=True)
        return functional.nll_loss(shares.clamp(_PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR).log(), y)

    def _pass_result(self, losses: Tensor, scores: Tensor, y: Tensor) -> StepResults:
        n_correct = int((scores.argmax(dim=1) == y).sum())
        return StepResults(losses.double().cpu().numpy(), batch_sizes(len(y), self._batch_size), n_correct)

    def fit(self) -> FitResult:
        raise UsageError("PyTorch trains in passes, not in one call")

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        self._model.eval()
        source = _tensor(x)
        with torch.inference_mode():
            parts = [
                self._body(self._scaled(source[start : start + batch_size].to(self._device)))
                for start in range(0, len(source), batch_size)
            ]
            logits = torch.cat(parts) if parts else torch.empty(0, self._network.n_classes, dtype=self._dtype)
            probabilities = functional.softmax(logits, dim=1)
            return Scores(
                labels=logits.argmax(dim=1).cpu().numpy(),
                logits=logits.float().cpu().numpy(),
                probabilities=probabilities.float().cpu().numpy(),
            )

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> TorchBench:
        # Modes, the switch of the model and the buffers below cost about 25 microseconds a call.
        blocks = {"forward": 4e-3, "train": 4e-3}
        work = DeviceWork(
            self._ready, self._forward_batches, self._train_batches, blocks, self._device, self._product_dtype
        )
        return TorchBench(work, _tensor(x), _tensor(y), include_transfer=include_transfer)

    def _ready(self, x: Tensor, y: Tensor) -> Batch:
        return self._scaled(x.to(self._device)), y.to(self._device)

    def _forward_batches(self, batches: Iterable[Batch]) -> None:
        self._model.eval()
        with torch.inference_mode():
            for x, _ in batches:
                self._call(x)

    def _train_batches(
        self, batches: Iterable[Batch], learning_rate: float, *, n_batches: int, batch_size: int
    ) -> None:
        scores = torch.empty(batch_size, self._network.n_classes, device=self._device, dtype=self._dtype)
        loss = torch.empty((), device=self._device, dtype=self._dtype)
        self._model.train()
        for x, y in batches:
            self._train_step(x, y, learning_rate, scores, loss)

    def _scaled(self, x: Tensor) -> Tensor:
        scaled = x.to(self._dtype)
        if scaled is x:  # no cast was needed, and the samples must stay as they are
            scaled = x.clone()
        if self._shift is not None:
            scaled.sub_(self._shift)
        return scaled if self._scale is None else scaled.div_(self._scale)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._model.named_parameters()}

    def load_weights(self, weights: Weights) -> None:
        check_weights(self._network, weights)
        with torch.no_grad():
            for name, parameter in self._model.named_parameters():
                parameter.copy_(torch.from_numpy(np.ascontiguousarray(weights[name])))

    def state(self) -> EngineState:
        arrays = {name: tensor.cpu().numpy().copy() for name, tensor in self._optimizer.slots().items()}
        arrays["rng.cpu"] = torch.get_rng_state().numpy().copy()
        if self._device.type == "cuda":
            arrays["rng.cuda"] = torch.cuda.get_rng_state(self._device).numpy().copy()
        return EngineState(arrays=arrays)

    def load_state(self, state: EngineState) -> None:
        for name, tensor in self._optimizer.slots().items():
            tensor.copy_(torch.from_numpy(state.arrays[name]))
        torch.set_rng_state(torch.from_numpy(state.arrays["rng.cpu"]))
        if self._device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(state.arrays["rng.cuda"]), self._device)

    def estimator_bytes(self) -> None:
        return None


def _module(layer: Layer) -> nn.Module:
    match layer:
        case Flatten():
            return nn.Flatten()
        case Linear():
            return nn.Linear(layer.n_in, layer.n_out)
        case Activation():
            return _ACTIVATIONS[layer.kind]()
        case Dropout():
            return nn.Dropout(layer.rate)
        case Conv2d():
            return nn.Conv2d(layer.n_in, layer.n_out, layer.kernel_size, padding="same")
        case MaxPool2d():
            return nn.MaxPool2d(2)
        case Softmax():
            return nn.Softmax(dim=1)


def _tensor(array: NDArray[Any]) -> Tensor:
    with warnings.catch_warnings():
        # Memory-mapped data is read-only, and torch warns of it; nothing here writes to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _constant(
    value: NDArray[np.float64] | float | None, device: torch.device, dtype: torch.dtype
) -> Tensor | float | None:
    if value is None or isinstance(value, float | int):
        return value
    return torch.as_tensor(value, dtype=dtype, device=device)
