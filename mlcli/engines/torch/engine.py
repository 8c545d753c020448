"""The PyTorch engine: an `nn.Sequential` and a training split that stays on the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from mlcli.engines.contract import Engine, EngineSpec, Weights
from mlcli.engines.torch.bench import DeviceWork, TorchBench
from mlcli.engines.torch.device import Bf16Sequential, apply_runtime, compiled
from mlcli.engines.torch.optimizers import TorchOptimizer
from mlcli.engines.torch.tensors import Batch, SampleScaler, as_tensor, scores_from_logits
from mlcli.errors import UsageError
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Softmax
from mlcli.records import EngineState, Scores, StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
# Keras clips probabilities at this bound before the logarithm; the engines must agree.
_PROBABILITY_FLOOR = 1e-7


class TorchEngine(Engine):
    """Implements `Engine`. A training step is: forward pass, loss, `torch.autograd.grad`, optimizer."""

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        if spec.network is None:
            raise UsageError(f"model {spec.model.name} does not run on PyTorch; use --backend sklearn")
        if spec.optimizer is None or spec.batch_size is None:
            raise UsageError("PyTorch trains iteratively and needs an optimizer and a batch size")
        self._network = spec.network
        self._batch_size = spec.batch_size
        self._device = apply_runtime(spec.runtime)
        self.device = str(self._device)
        self._dtype: torch.dtype = getattr(torch, spec.runtime.precision)
        self._scaled = SampleScaler(spec.scaling, self._device, self._dtype)
        self._product_dtype = torch.bfloat16 if spec.runtime.matmul_precision == "bf16" else self._dtype
        container = Bf16Sequential if spec.runtime.matmul_precision == "bf16" else nn.Sequential
        self._model = container(*map(_module, spec.network.layers)).to(self._device, self._dtype)
        self._body = self._model[:-1] if spec.network.ends_in_softmax else self._model
        self._optimizer = TorchOptimizer(spec.optimizer, dict(self._model.named_parameters()))
        if initial_weights is not None:
            self.load_weights(initial_weights)
        self._call: Callable[[Tensor], Tensor] = self._model
        if spec.runtime.compiled:
            self._call = compiled(self._model, self._device)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x = as_tensor(x).to(self._device)
        self._y = as_tensor(y).to(self._device)
        # The samples of an epoch in training order. One buffer for all epochs saves the page faults of new memory.
        self._x_epoch = torch.empty_like(self._x)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        index = torch.from_numpy(order).to(self._device)
        x_epoch = self._x_epoch[: len(order)]
        torch.index_select(self._x, 0, index, out=x_epoch)
        y_epoch = self._y.index_select(0, index)
        scores = torch.empty(len(order), self._network.n_classes, device=self._device, dtype=self._dtype)
        losses = torch.empty(len(learning_rates), device=self._device, dtype=self._dtype)
        self._model.train()
        for step, start in enumerate(range(0, len(order), self._batch_size)):
            batch = slice(start, start + self._batch_size)
            self._train_step(
                self._scaled(x_epoch[batch]), y_epoch[batch], learning_rates[step], scores[batch], losses[step]
            )
        n_correct = int((scores.argmax(dim=1) == y_epoch).sum())
        return StepResults.from_batches(losses.double().cpu().numpy(), len(order), self._batch_size, n_correct)

    def _train_step(self, x: Tensor, y: Tensor, lr: float, scores: Tensor, loss_out: Tensor) -> None:
        outputs = self._call(x)
        loss = self._loss(outputs, y)
        gradients = torch.autograd.grad(loss, self._optimizer.parameters)
        self._optimizer.step(gradients, float(lr))
        scores.copy_(outputs.detach())
        loss_out.copy_(loss.detach())

    def _loss(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Return the mean cross-entropy in nats. outputs: logits, or probabilities if the model ends in a softmax."""
        if not self._network.ends_in_softmax:
            return functional.cross_entropy(outputs, y)
        probabilities = outputs / outputs.sum(dim=1, keepdim=True)
        return functional.nll_loss(probabilities.clamp(_PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR).log(), y)

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        self._model.eval()
        samples = as_tensor(x)
        with torch.inference_mode():
            parts = [
                self._body(self._scaled(samples[start : start + batch_size].to(self._device)))
                for start in range(0, len(samples), batch_size)
            ]
            logits = torch.cat(parts) if parts else torch.empty(0, self._network.n_classes, dtype=self._dtype)
            return scores_from_logits(logits)

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> TorchBench:
        work = DeviceWork(
            scale=self._scaled,
            forward=self._forward_batches,
            train=self._train_batches,
            # A call costs about 25 microseconds in addition: grad mode, train or eval mode, and buffers.
            block_seconds={"forward": 4e-3, "train": 4e-3},
            product_dtype=self._product_dtype,
        )
        return TorchBench(work, as_tensor(x), as_tensor(y), include_transfer=include_transfer)

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

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: tensor.detach().cpu().numpy().copy() for name, tensor in self._model.named_parameters()}

    def load_weights(self, weights: Weights) -> None:
        self._network.check_weights(weights)
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
