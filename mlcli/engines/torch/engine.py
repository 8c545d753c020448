"""The PyTorch engine: an `nn.Sequential` and a training split that stays on the device."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.torch.base import Batches, TensorEngine, as_array, copy_into
from mlcli.engines.torch.device import Bf16Sequential, compiled
from mlcli.engines.torch.optimizers import TorchOptimizer
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Softmax
from mlcli.records import EngineState, StepResults

_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "gelu": nn.GELU}
# Keras clips the probabilities of a model that ends in a softmax at this bound before the logarithm, so that samples
# beyond it have no gradient; the engines must agree.
_PROBABILITY_FLOOR = 1e-7


class TorchEngine(TensorEngine):
    """Implements `Engine`. A training step is: forward pass, loss, `torch.autograd.grad`, optimizer."""

    # A call of the benchmark costs about 25 microseconds in addition: grad mode, train or eval mode, and buffers.
    block_seconds = MappingProxyType({"forward": 4e-3, "train": 4e-3})

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None) -> None:
        super().__init__(spec)
        container = Bf16Sequential if self._in_bf16 else nn.Sequential
        self._model = container(*map(_module, self._network.layers)).to(self.torch_device, self._dtype)
        n_before_logits = len(self._model) - self._network.ends_in_softmax
        self._body, self._head = self._model[:n_before_logits], self._model[n_before_logits:]
        self._optimizer = TorchOptimizer(self._optimizer_config, dict(self._model.named_parameters()))
        if initial_weights is not None:
            self.load_weights(initial_weights)
        self._logits: Callable[[Tensor], Tensor] = self._body
        if spec.runtime.compiled:
            self._logits = compiled(self._body, self.torch_device)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        super().place(x, y)
        # The samples of an epoch in training order. One buffer for all epochs saves the page faults of new memory.
        self._x_epoch = None if self._x is None else torch.empty_like(self._x)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        index = torch.from_numpy(order).to(self.torch_device)
        x_epoch = self._in_order(index)
        y_epoch = self._y.index_select(0, index)
        logits = torch.empty(len(order), self._network.n_classes, device=self.torch_device, dtype=self._dtype)
        self._model.train()
        for step, start in enumerate(range(0, len(order), self._batch_size)):
            batch = slice(start, start + self._batch_size)
            x = self.gathered(index[batch]) if x_epoch is None else self.scaled(x_epoch[batch])
            self._train_step(x, y_epoch[batch], learning_rates[step], logits[batch])
        return self.step_results(logits, y_epoch)

    def _in_order(self, index: Tensor) -> Tensor | None:
        """Return the samples at these positions, not scaled; None if each batch is gathered from a mapped file."""
        if self._x is None or self._x_epoch is None:
            return None
        return torch.index_select(self._x, 0, index, out=self._x_epoch[: len(index)])

    def _train_step(self, x: Tensor, y: Tensor, lr: float, logits_out: Tensor) -> None:
        logits = self._logits(x)
        gradients = torch.autograd.grad(self._objective(logits, y), self._optimizer.parameters)
        self._optimizer.step(gradients, float(lr))
        logits_out.copy_(logits.detach())

    def _objective(self, logits: Tensor, y: Tensor) -> Tensor:
        """Return what a step minimises: the mean cross-entropy, of clipped probabilities if the model has a softmax.

        With class weights, the losses are weighted before the mean over the samples.
        """
        weights = self._class_weights
        if not self._network.ends_in_softmax:
            if weights is None:
                return functional.cross_entropy(logits, y)
            return functional.cross_entropy(logits, y, weights, reduction="sum") / len(y)
        outputs = self._head(logits)
        probabilities = outputs / outputs.sum(dim=1, keepdim=True)
        logarithms = probabilities.clamp(_PROBABILITY_FLOOR, 1 - _PROBABILITY_FLOOR).log()
        if weights is None:
            return functional.nll_loss(logarithms, y)
        return functional.nll_loss(logarithms, y, weights, reduction="sum") / len(y)

    def logits(self, x: Tensor) -> Tensor:
        self._model.eval()
        return self._body(x)

    def forward_batches(self, batches: Batches) -> None:
        self._model.eval()
        with torch.inference_mode():
            for x, _ in batches:
                self._head(self._logits(x))

    def train_batches(self, batches: Batches, learning_rate: float, batch_size: int) -> None:
        logits = torch.empty(batch_size, self._network.n_classes, device=self.torch_device, dtype=self._dtype)
        self._model.train()
        for x, y in batches:
            self._train_step(x, y, learning_rate, logits)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        return {name: as_array(parameter) for name, parameter in self._model.named_parameters()}

    def load_weights(self, weights: Weights) -> None:
        self._network.check_weights(weights)
        for name, parameter in self._model.named_parameters():
            copy_into(parameter, weights[name])

    def native_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        return {name: (name, tuple(parameter.shape)) for name, parameter in self._model.named_parameters()}

    def state(self) -> EngineState:
        arrays = {name: as_array(tensor) for name, tensor in self._optimizer.slots().items()}
        arrays["rng.cpu"] = as_array(torch.get_rng_state())
        if self.torch_device.type == "cuda":
            arrays["rng.cuda"] = as_array(torch.cuda.get_rng_state(self.torch_device))
        return EngineState(arrays=arrays)

    def load_state(self, state: EngineState) -> None:
        for name, tensor in self._optimizer.slots().items():
            copy_into(tensor, state.arrays[name])
        torch.set_rng_state(torch.from_numpy(state.arrays["rng.cpu"]))
        if self.torch_device.type == "cuda":
            torch.cuda.set_rng_state(torch.from_numpy(state.arrays["rng.cuda"]), self.torch_device)


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
