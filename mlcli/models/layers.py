"""Networks as plain records of layers, with their weight shapes and operation counts.

Layers, weight names and shapes are those of the equivalent `torch.nn.Sequential` and its `state_dict`: images are
(channels, height, width), linear weights (out, in), convolution kernels (out, in, height, width).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlcli.config.schema import CnnModel, EstimatorModel, LogisticModel, MlpModel, ModelConfig
from mlcli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Flatten:
    """Reshapes samples (n, ...) to (n, features); the identity for tables."""


@dataclass(frozen=True)
class Linear:
    """Computes y = x W^T + b, with W (n_out, n_in) and b (n_out,)."""

    n_in: int
    n_out: int


@dataclass(frozen=True)
class Activation:
    """Applies a function to each value."""

    kind: str  # relu, tanh, sigmoid or gelu (the exact form, by the error function)


@dataclass(frozen=True)
class Dropout:
    """Zeroes random inputs during training and multiplies the others by 1 / (1 - rate)."""

    rate: float  # probability of an input to be zeroed


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation with stride 1, a bias, and zero padding that preserves height and width."""

    n_in: int
    n_out: int
    kernel_size: int


@dataclass(frozen=True)
class MaxPool2d:
    """Takes the maximum over 2x2 windows with stride 2; drops the last row or column of an odd number."""


@dataclass(frozen=True)
class Softmax:
    """Normalises the last axis to probabilities."""


Layer = Flatten | Linear | Activation | Dropout | Conv2d | MaxPool2d | Softmax


@dataclass(frozen=True)
class Network:
    """A feed-forward network: layers that are applied one after the other."""

    kind: str  # logistic, mlp or cnn
    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]  # of one sample
    n_classes: int

    @property
    def ends_in_softmax(self) -> bool:
        """Whether the outputs are probabilities rather than logits."""
        return isinstance(self.layers[-1], Softmax)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the canonical weight names and shapes, in the order of the layers."""
        shapes: dict[str, tuple[int, ...]] = {}
        for index, layer in enumerate(self.layers):
            if isinstance(layer, Linear):
                shapes[f"{index}.weight"] = (layer.n_out, layer.n_in)
                shapes[f"{index}.bias"] = (layer.n_out,)
            elif isinstance(layer, Conv2d):
                shapes[f"{index}.weight"] = (layer.n_out, layer.n_in, layer.kernel_size, layer.kernel_size)
                shapes[f"{index}.bias"] = (layer.n_out,)
        return shapes

    @property
    def n_parameters(self) -> int:
        return sum(math.prod(shape) for shape in self.parameter_shapes().values())

    def check_weights(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Raise UsageError, naming each difference, unless names and shapes are those of `parameter_shapes`."""
        expected = self.parameter_shapes()
        issues = [f"{name} is missing" for name in expected if name not in weights]
        issues += [f"{name} is not a weight of this model" for name in weights if name not in expected]
        issues += [
            f"{name} has shape {tuple(weights[name].shape)}, expected {shape}"
            for name, shape in expected.items()
            if name in weights and tuple(weights[name].shape) != shape
        ]
        if issues:
            raise UsageError(f"the weights do not fit the model {self.kind}: {'; '.join(issues)}")

    def forward_flops(self) -> int:
        """Return the floating-point operations of the forward pass of one sample.

        Matrix products and convolutions only, a multiplication and an addition being two operations, as
        `torch.utils.flop_counter` counts; biases, activations, pooling and the loss are negligible.
        """
        return sum(self._layer_flops())

    def train_flops(self) -> int:
        """Return the floating-point operations of one training step for one sample, without the optimizer.

        The backward pass repeats each product twice, for the gradients of the weights and of the inputs. The inputs
        of the first layer, the samples, need no gradient.
        """
        layer_flops = self._layer_flops()
        return 3 * sum(layer_flops) - layer_flops[0]

    def _layer_flops(self) -> list[int]:
        """Return the forward operations of each layer that has weights."""
        flops: list[int] = []
        height, width = self.input_shape[-2:] if len(self.input_shape) == 3 else (1, 1)
        for layer in self.layers:
            match layer:
                case Linear():
                    flops.append(2 * layer.n_in * layer.n_out)
                case Conv2d():
                    flops.append(2 * layer.n_in * layer.n_out * layer.kernel_size**2 * height * width)
                case MaxPool2d():
                    height, width = height // 2, width // 2
        return flops


def build_network(model: ModelConfig, input_shape: tuple[int, ...], n_classes: int) -> Network:
    """Return the network of a model for samples of `input_shape`.

    UsageError for a model without layers (estimator) or one that does not fit the samples.
    """
    match model:
        case LogisticModel():
            layers: tuple[Layer, ...] = (Flatten(), Linear(math.prod(input_shape), n_classes))
        case MlpModel():
            layers = _mlp_layers(model, math.prod(input_shape), n_classes)
        case CnnModel():
            layers = _cnn_layers(model, input_shape, n_classes)
        case EstimatorModel():
            raise UsageError(f"model estimator ({model.estimator}) has no layers; it runs with --backend sklearn only")
    return Network(model.name, layers, input_shape, n_classes)


def _mlp_layers(model: MlpModel, n_features: int, n_classes: int) -> tuple[Layer, ...]:
    layers: list[Layer] = [Flatten()]
    n_in = n_features
    for n_units in model.hidden:
        layers += [Linear(n_in, n_units), Activation(model.activation)]
        if model.dropout:
            layers.append(Dropout(model.dropout))
        n_in = n_units
    layers.append(Linear(n_in, n_classes))
    if model.output == "softmax":
        layers.append(Softmax())
    return tuple(layers)


def _cnn_layers(model: CnnModel, input_shape: tuple[int, ...], n_classes: int) -> tuple[Layer, ...]:
    if len(input_shape) != 3:
        raise UsageError(f"model cnn needs images, but a sample has the shape {input_shape}; use model mlp or logistic")
    largest = 2 * max(input_shape[1:]) - 1  # what lies further out never meets a pixel
    if model.kernel_size > largest:
        raise UsageError(
            f"model.kernel_size {model.kernel_size}: at most {largest} for a sample of shape {input_shape}"
        )
    n_channels, height, width = input_shape
    layers: list[Layer] = []
    for n_out in model.channels:
        layers += [Conv2d(n_channels, n_out, model.kernel_size), Activation("relu"), MaxPool2d()]
        n_channels, height, width = n_out, height // 2, width // 2
    if min(height, width) < 1:
        raise UsageError(
            f"model cnn halves the image {len(model.channels)} times, but a sample has only "
            f"{input_shape[1]}x{input_shape[2]} pixels; use fewer entries in model.channels"
        )
    layers += [Flatten(), Linear(n_channels * height * width, model.hidden), Activation("relu")]
    if model.dropout:
        layers.append(Dropout(model.dropout))
    layers.append(Linear(model.hidden, n_classes))
    return tuple(layers)
