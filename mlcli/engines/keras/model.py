"""A network as a `keras.Sequential`: the layers, the training step, and the weights in canonical orientation.

Everything is channels first, as PyTorch computes it, so that no batch is transposed on its way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcli.engines.keras.backend import keras
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax

# Keras's orientation to the canonical one and back, by the number of axes of the weight.
_TO_CANONICAL = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
_FROM_CANONICAL = {1: (0,), 2: (1, 0), 4: (2, 3, 1, 0)}


class SeededDropout(keras.layers.Dropout):
    """Keras's dropout, with a random generator of its own on the device.

    Keras seeds a fresh generator for every batch from a counter on the device, and on a GPU reading that counter
    makes the host wait.
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
    """Keras's dense layer in float64.

    Keras's type promotion knows no float64 outside TensorFlow: its own layer multiplies in float32 even where
    inputs, weights and layer are float64, and then returns float64.
    """

    def call(self, inputs: Tensor, training: bool | None = None) -> Tensor:
        return torch.addmm(self.bias.value, inputs, self.kernel.value)


@dataclass
class PassLog:
    """What a pass has seen so far, batch by batch, left on the device until the pass ends."""

    losses: list[Tensor] = field(default_factory=list)  # (batch,) nats
    hits: list[Tensor] = field(default_factory=list)  # (batch,) whether the predicted class is the right one


class NetworkModel(keras.Sequential):
    """A Sequential whose training step is Keras's own but for its figures, which it keeps in a PassLog.

    Every layer goes through Keras's `__call__`, as in any Keras program, so that the time of a run is that of
    Keras. What is left out are the metric objects, which are reduced and accumulated batch by batch, and the
    loss's `__call__`, whose mean is taken in float32.
    """

    in_bf16 = False  # matrix products and convolutions in bfloat16; weights and outputs keep their type

    def __init__(self, network: Network, precision: str, generators: Iterator[torch.Generator]) -> None:
        layers = [_keras_layer(index, layer, precision, generators) for index, layer in enumerate(network.layers)]
        super().__init__([keras.Input(network.input_shape, dtype=precision), *layers], name="network")
        self.log = PassLog()
        self.parameters_in_order = tuple(variable.value for variable in self.trainable_variables)

    def call(self, inputs: Tensor, training: bool | None = None, mask: None = None) -> Tensor:
        return self.through(self.layers, inputs, training)

    def through(self, layers: Sequence[Any], inputs: Tensor, training: bool | None) -> Tensor:
        """The outputs of these layers, one after the other."""
        if not self.in_bf16:
            return _through(layers, inputs, training)
        with torch.autocast(inputs.device.type, dtype=torch.bfloat16):
            return _through(layers, inputs, training).to(inputs.dtype)

    def train_step(self, data: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        x, y = data
        scores = self(x, training=True)
        losses = self.loss.call(y, scores)
        self.optimizer.apply(torch.autograd.grad(losses.mean(), self.parameters_in_order))
        self.log.losses.append(losses.detach())
        self.log.hits.append(scores.detach().argmax(dim=-1) == y)
        return {}


def _through(layers: Sequence[Any], inputs: Tensor, training: bool | None) -> Tensor:
    for layer in layers:
        drops = isinstance(layer, SeededDropout)
        inputs = layer(inputs, training=training) if drops else layer(inputs)
    return inputs


class OnTrainingThread(keras.callbacks.Callback):
    """Does nothing, at the end of each batch.

    Without a callback that wants that moment, Keras hands it to a thread pool, and the threads then take turns at
    Python's lock with the training: the same work, at a higher price.
    """

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        pass


def _keras_layer(index: int, layer: Layer, precision: str, generators: Iterator[torch.Generator]) -> Any:
    # Kernels start at zero because the weights are loaded afterwards: nothing is drawn from Keras's global seed.
    common = {"name": f"layer_{index}", "dtype": precision}
    match layer:
        case Flatten():
            # channels_last names the order in memory here: channels_first would move the channels to the end.
            return keras.layers.Flatten(data_format="channels_last", **common)
        case Linear():
            dense = Float64Dense if precision == "float64" else keras.layers.Dense
            return dense(layer.n_out, kernel_initializer="zeros", **common)
        case Activation():
            return keras.layers.Activation(layer.kind, **common)
        case Dropout():
            return SeededDropout(layer.rate, next(generators), **common)
        case Conv2d():
            return keras.layers.Conv2D(
                layer.n_out,
                layer.kernel_size,
                padding="same",
                data_format="channels_first",
                kernel_initializer="zeros",
                **common,
            )
        case MaxPool2d():
            return keras.layers.MaxPooling2D(2, data_format="channels_first", **common)
        case Softmax():
            return keras.layers.Softmax(**common)


def canonical_tensors(network: Network, model: NetworkModel) -> dict[str, Tensor]:
    """The tensors that hold the model's weights, in Keras's orientation, by canonical name."""
    tensors = {}
    for index, layer in enumerate(model.layers):
        if isinstance(network.layers[index], Linear | Conv2d):
            tensors[f"{index}.weight"] = layer.kernel.value
            tensors[f"{index}.bias"] = layer.bias.value
    return tensors


def to_canonical(tensor: Tensor) -> np.ndarray[Any, Any]:
    """A Keras weight as an array in canonical orientation and C order; a copy."""
    return tensor.detach().permute(_TO_CANONICAL[tensor.ndim]).cpu().contiguous().numpy().copy()


def from_canonical(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The other way."""
    return np.ascontiguousarray(array.transpose(_FROM_CANONICAL[array.ndim]))


def copy_into(tensor: Tensor, array: np.ndarray[Any, Any]) -> None:
    """Overwrite a tensor in place, where it is and in its own dtype."""
    with torch.no_grad():
        tensor.copy_(torch.tensor(array))
