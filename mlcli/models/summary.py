"""The layers of a network as text, and the shapes of their outputs and weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Layer, Linear, MaxPool2d, Network, Softmax


@dataclass(frozen=True)
class LayerSummary:
    """One layer of a network."""

    index: int  # from 0; the number in the names of its weights
    text: str  # e.g. "linear 784 to 10"
    output_shape: tuple[int, ...]  # of one sample
    weight_shapes: dict[str, tuple[int, ...]]  # by canonical name
    n_parameters: int


def summarize(network: Network | None) -> tuple[LayerSummary, ...]:
    """Return a summary of each layer, in the order in which they are applied; none for a model without layers."""
    if network is None:
        return ()
    shapes, rows, output = network.parameter_shapes(), [], network.input_shape
    for index, layer in enumerate(network.layers):
        output = output_shape(layer, output)
        own = {name: shape for name, shape in shapes.items() if name.startswith(f"{index}.")}
        rows.append(LayerSummary(index, layer_text(layer), output, own, sum(map(math.prod, own.values()))))
    return tuple(rows)


def output_shape(layer: Layer, input_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the output of a layer for one sample."""
    match layer:
        case Flatten():
            return (math.prod(input_shape),)
        case Linear():
            return (layer.n_out,)
        case Conv2d():
            return (layer.n_out, *input_shape[1:])
        case MaxPool2d():
            channels, height, width = input_shape
            return (channels, height // 2, width // 2)
        case Activation() | Dropout() | Softmax():
            return input_shape


def layer_text(layer: Layer) -> str:
    """Return a layer in words, e.g. "linear 784 to 10"."""
    match layer:
        case Linear():
            return f"linear {layer.n_in} to {layer.n_out}"
        case Conv2d():
            return f"convolution {layer.n_in} to {layer.n_out} ({layer.kernel_size}x{layer.kernel_size})"
        case Activation():
            return layer.kind
        case Flatten():
            return "flatten"
        case MaxPool2d():
            return "2x2 max pooling"
        case Dropout():
            return f"dropout {layer.rate:g}"
        case Softmax():
            return "softmax"
