"""How many floating-point operations a network takes."""

from __future__ import annotations

import math

from mlcli.models.layers import Conv2d, Flatten, Layer, Linear, MaxPool2d, Network


def forward_flops(network: Network) -> int:
    """Floating-point operations of the forward pass of one sample: matrix products and convolutions alone.

    A multiplication and an addition are two operations, as `torch.utils.flop_counter` counts; biases, activations,
    pooling and the loss are left out, being small beside them.
    """
    return sum(_flops_by_layer(network))


def train_flops(network: Network) -> int:
    """Floating-point operations of one training step for one sample, counted alike, without the optimizer.

    Backward, each product is met twice again, for the gradient of the weights and for that of the inputs; the first
    layer's inputs, the samples, need none.
    """
    by_layer = _flops_by_layer(network)
    return 3 * sum(by_layer) - by_layer[0]


def _flops_by_layer(network: Network) -> list[int]:
    """Of the layers that have weights."""
    shape, flops = network.input_shape, []
    for layer in network.layers:
        shape = _output_shape(layer, shape)
        match layer:
            case Linear():
                flops.append(2 * layer.n_in * layer.n_out)
            case Conv2d():
                flops.append(2 * layer.n_in * layer.kernel_size**2 * math.prod(shape))
    return flops


def _output_shape(layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    match layer:
        case Flatten():
            return (math.prod(shape),)
        case Linear():
            return (layer.n_out,)
        case Conv2d():
            return (layer.n_out, *shape[1:])
        case MaxPool2d():
            return (shape[0], shape[1] // 2, shape[2] // 2)
        case _:
            return shape
