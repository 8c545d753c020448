"""A network as a `keras.Sequential`: layers, training step, and conversion of weights to and from canonical form.

All layers are channels-first, as in PyTorch, so that no batch has to be transposed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mlcli.engines.keras import keras
from mlcli.engines.torch.base import as_array
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax

# Axes for `transpose`, by the number of axes of a weight: from the orientation of Keras to the canonical one and back.
_TO_CANONICAL = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_CANONICAL = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class SeededDropout(keras.layers.Dropout):
    """The dropout layer of Keras with one random generator on the device.

    Keras seeds a new generator for every batch from a counter on the device; on a GPU, reading that counter makes the
    host wait.
    """

    def __init__(self, rate: float, generator: torch.Generator, **kwargs: Any) -> None:
        super().__init__(rate, **kwargs)
        self.generator = generator

    def call(self, inputs: Tensor, training: bool | None = False) -> Tensor:
        if not training:
            return inputs
        kept = torch.empty_like(inputs).bernoulli_(1 - self.rate, generator=self.generator)
        return inputs * kept.div_(1 - self.rate)


class Float64Dense(keras.layers.Dense):
    """The dense layer of Keras in float64.

    Outside TensorFlow, Keras does not promote types to float64: its layer multiplies in float32 even if inputs, weights
    and layer are float64, and casts the result.
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return torch.addmm(self.bias.value, inputs, self.kernel.value)


@dataclass
class StepLog:
    """The logits of the steps of a `fit`, one tensor (batch, classes) per step, kept on the device."""

    logits: list[Tensor] = field(default_factory=list)


class NetworkModel(keras.Sequential):
    """A Sequential whose training step is that of Keras, except that it keeps the logits of each step in a StepLog.

    Every layer is called through the `__call__` of Keras, so that a run takes the time that Keras takes. Two things are
    left out: the metric objects, which are reduced and accumulated at every batch, and the `__call__` of the loss,
    which averages in float32.
    """

    class_weights: Tensor | None = None  # (classes,)
    in_bf16 = False  # matrix products and convolutions in bfloat16; weights and outputs keep their dtype

    def __init__(self, network: Network, precision: str, generators: Iterator[torch.Generator]) -> None:
        layers = [_keras_layer(index, layer, precision, generators) for index, layer in enumerate(network.layers)]
        super().__init__([keras.Input(network.input_shape, dtype=precision), *layers], name="network")
        self._ends_in_softmax = network.ends_in_softmax
        self.log = StepLog()
        self.parameters_in_order = tuple(variable.value for variable in self.trainable_variables)

    def call(self, inputs: Tensor, training: bool | None = None, mask: None = None) -> Tensor:
        logits = self.logits(inputs, training)
        if training:
            self.log.logits.append(logits.detach())
        return self.layers[-1](logits) if self._ends_in_softmax else logits

    def logits(self, inputs: Tensor, training: bool | None) -> Tensor:
        """Return the output of all layers but a final softmax, applied one after the other."""
        layers = self.layers[:-1] if self._ends_in_softmax else self.layers
        if not self.in_bf16:
            return _apply(layers, inputs, training)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return _apply(layers, inputs, training).to(inputs.dtype)

    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = data
        losses = self.loss.call(y, self(x, training=True))
        if self.class_weights is not None:  # as `fit(class_weight=...)` of Keras, which multiplies the losses as well
            losses = losses * self.class_weights[y]
        loss = losses.mean()
        self.optimizer.apply(torch.autograd.grad(loss, self.parameters_in_order))
        return {}


def _apply(layers: Sequence[Any], inputs: Tensor, training: bool | None) -> Tensor:
    for layer in layers:
        is_dropout = isinstance(layer, SeededDropout)
        inputs = layer(inputs, training=training) if is_dropout else layer(inputs)
    return inputs


class SynchronousCallback(keras.callbacks.Callback):
    """Does nothing at the end of each batch, on the training thread.

    If no callback defines this method, Keras calls it from a thread pool, and those threads compete with the training
    for Python's interpreter lock.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        pass


def _keras_layer(index: int, layer: Layer, precision: str, generators: Iterator[torch.Generator]) -> Any:
    # Weights are loaded afterwards. Zeros keep Keras from drawing them from its global seed.
    common = {"name": f"layer_{index}", "dtype": precision}
    match layer:
        case Flatten():
            # Keeps the order of values: channels_first would move the channels to the end first.
            return keras.layers.Flatten(data_format="channels_last", **common)
        case Linear():
            dense = Float64Dense if precision == "float64" else keras.layers.Dense
            return dense(layer.n_out, kernel_initializer="zeros", **common)
        case Activation():
            return keras.layers.Activation(layer.kind, **common)
        case Dropout():
            return SeededDropout(layer.rate, next(generators), **common)
        case Conv2d():
            common |= {"padding": "same", "data_format": "channels_first", "kernel_initializer": "zeros"}
            return keras.layers.Conv2D(layer.n_out, layer.kernel_size, **common)
        case MaxPool2d():
            return keras.layers.MaxPooling2D(2, data_format="channels_first", **common)
        case Softmax():
            return keras.layers.Softmax(**common)


def canonical_tensors(network: Network, model: NetworkModel) -> dict[str, Tensor]:
    """Return the tensors of the model's weights, in the orientation of Keras, by canonical name."""
    tensors = {}
    for index, layer in enumerate(model.layers):
        if isinstance(network.layers[index], Linear | Conv2d):
            tensors[f"{index}.weight"] = layer.kernel.value
            tensors[f"{index}.bias"] = layer.bias.value
    return tensors


def to_canonical(tensor: Tensor) -> NDArray[Any]:
    """Return a copy of a Keras weight in canonical orientation and C order."""
    return as_array(tensor.permute(_TO_CANONICAL[tensor.ndim]))


def from_canonical(array: NDArray[Any]) -> NDArray[Any]:
    """Return a canonical weight in the orientation of Keras and C order."""
    return np.ascontiguousarray(array.transpose(_FROM_CANONICAL[array.ndim]))
