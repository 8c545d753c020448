"""The layers of a model as plain records, in the order of the equivalent `torch.nn.Sequential`.

Sizes follow PyTorch: images are (channels, height, width), linear weights (out, in), convolution
kernels (out, in, height, width). Weight names are the `state_dict` names of that Sequential.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlcli.config.schema import CnnModel, EstimatorModel, LogisticModel, MlpModel, ModelConfig
from mlcli.errors import UsageError


@dataclass(frozen=True)
class Flatten:
    """(n, ...) to (n, features); leaves tables as they are."""


@dataclass(frozen=True)
class Linear:
    """y = x W^T + b, with W (n_out, n_in) and b (n_out,)."""

    n_in: int
    n_out: int


@dataclass(frozen=True)
class Activation:
    """kind: relu, tanh, sigmoid or gelu (the exact one, by the error function)."""

    kind: str


@dataclass(frozen=True)
class Dropout:
    """Zeroes a share `rate` of the inputs while training and scales the others by 1 / (1 - rate)."""

    rate: float


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation with stride 1 and zero padding that keeps height and width; bias (n_out,)."""

    n_in: int
    n_out: int
    kernel_size: int


@dataclass(frozen=True)
class MaxPool2d:
    """The maximum over 2x2 windows with stride 2; an odd last row or column is dropped."""


@dataclass(frozen=True)
class Softmax:
    """Over the last axis."""


Layer = Flatten | Linear | Activation | Dropout | Conv2d | MaxPool2d | Softmax


@dataclass(frozen=True)
class Network:
    """A feed-forward network: layers in order, for samples of input_shape and n_classes classes."""

    kind: str  # logistic, mlp or cnn
    layers: tuple[Layer, ...]
    input_shape: tuple[int, ...]
    n_classes: int

    @property
    def ends_in_softmax(self) -> bool:
        return isinstance(self.layers[-1], Softmax)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Canonical weight names and shapes, in the order of the layers."""
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


def build_network(model: ModelConfig, input_shape: tuple[int, ...], n_classes: int) -> Network:
    """The layers of a model for samples of `input_shape`.

    Raises UsageError for a model that is no network (estimator) or does not fit the samples.
    """
    match model:
        case LogisticModel():
            layers: tuple[Layer, ...] = (Flatten(), Linear(math.prod(input_shape), n_classes))
        case MlpModel():
            layers = _mlp_layers(model, math.prod(input_shape), n_classes)
        case CnnModel():
            layers = _cnn_layers(model, input_shape, n_classes)
        case EstimatorModel():
            raise UsageError(f"model estimator ({model.estimator}) has no layers: it runs on --backend sklearn only")
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
        raise UsageError(f"model cnn needs images, but a sample has shape {input_shape}; choose mlp or logistic")
    n_channels, height, width = input_shape
    layers: list[Layer] = []
    for n_out in model.channels:
        layers += [Conv2d(n_channels, n_out, model.kernel_size), Activation("relu"), MaxPool2d()]
        n_channels, height, width = n_out, height // 2, width // 2
    if min(height, width) < 1:
        raise UsageError(
            f"model cnn halves the image {len(model.channels)} times, "
            f"but a sample has only {input_shape[1]}x{input_shape[2]} pixels; use fewer entries in model.channels"
        )
    layers += [Flatten(), Linear(n_channels * height * width, model.hidden), Activation("relu")]
    if model.dropout:
        layers.append(Dropout(model.dropout))
    layers.append(Linear(model.hidden, n_classes))
    return tuple(layers)
