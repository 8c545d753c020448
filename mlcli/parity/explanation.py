"""The identity logits = x W^T + b, checked for the last layer of a model: numpy against every engine.

All engines get the same weights. The input x of the layer is computed in numpy from one sample, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcli.engines.contract import Weights
from mlcli.engines.registry import build_engine
from mlcli.errors import MlcliError
from mlcli.experiment.plan import Plan, engine_spec
from mlcli.models.layers import Activation, Conv2d, Dropout, Flatten, Linear, MaxPool2d, Network, Softmax
from mlcli.models.summary import layer_text
from mlcli.records import Dataset, Scaling

_SAMPLE = 0  # of the test split
# Engines return float32, whose rounding error is 6e-8 of a number; products and sums are computed in float64.
_TOLERANCE = 1e-6
_Values = NDArray[np.float64]


@dataclass(frozen=True)
class EngineLogits:
    """The logits that one engine computes, and how it stores W."""

    engine: str
    weight_name: str  # in the framework
    weight_shape: tuple[int, ...]  # in the framework
    logits: list[float]
    largest_difference: float  # from the logits in numpy


@dataclass(frozen=True)
class Explanation:
    """The last layer of a model, for one sample; its fields are keys of the JSON document."""

    layer: str
    weight_name: str  # canonical
    sample: int  # position in the test split
    true_class: str
    class_names: tuple[str, ...]
    x: list[float]  # (n_in,), the input of the layer
    weight: list[list[float]]  # (classes, n_in)
    bias: list[float]  # (classes,)
    logits: list[float]  # (classes,), x W^T + b in numpy
    engines: tuple[EngineLogits, ...]
    tolerance: float  # on the differences

    @property
    def largest_difference(self) -> float:
        """The largest difference of an engine from numpy; NaN if a logit is NaN."""
        return float(np.max([engine.largest_difference for engine in self.engines]))


def explain(plans: Mapping[str, Plan], dataset: Dataset, weights: Weights, threads: int) -> Explanation:
    """Return the identity for the first test sample. plans: by engine, all of the network that has these weights."""
    network = next(plan.network for plan in plans.values() if plan.network)
    index = max(index for index, layer in enumerate(network.layers) if isinstance(layer, Linear))
    sample = dataset.test.x[_SAMPLE : _SAMPLE + 1]
    x = _layer_input(network, index, weights, _scaled(sample[0], dataset.scaling))
    weight, bias = weights[f"{index}.weight"], weights[f"{index}.bias"]
    logits = x @ weight.T + bias
    engines = []
    for backend, plan in plans.items():
        engine = build_engine(backend, engine_spec(plan, dataset, threads), weights)
        found = engine.predict(sample).logits
        if found is None:
            continue
        name, shape = engine.native_shapes()[f"{index}.weight"]
        engines.append(EngineLogits(backend, name, shape, found[0].tolist(), float(np.abs(found[0] - logits).max())))
    return Explanation(
        layer=f"{index} {layer_text(network.layers[index])}",
        weight_name=f"{index}.weight",
        sample=_SAMPLE,
        true_class=dataset.info.class_names[dataset.test.y[_SAMPLE]],
        class_names=dataset.info.class_names,
        x=x.tolist(),
        weight=weight.tolist(),
        bias=bias.tolist(),
        logits=logits.tolist(),
        engines=tuple(engines),
        tolerance=_TOLERANCE * max(1.0, float(np.abs(logits).max())),
    )


def raise_if_wrong(explanation: Explanation) -> None:
    """MlcliError if the logits of an engine are not x W^T + b."""
    for engine in explanation.engines:
        if not engine.largest_difference <= explanation.tolerance:
            raise MlcliError(
                f"the logits of {engine.engine} differ from x W^T + b by {engine.largest_difference:.3g}, "
                f"more than the tolerance {explanation.tolerance:.3g}"
            )


def _scaled(x: NDArray[np.generic], scaling: Scaling) -> _Values:
    values = x.astype(np.float64)
    if scaling.shift is not None:
        values = values - scaling.shift
    return values if scaling.scale is None else values / scaling.scale


def _layer_input(network: Network, index: int, weights: Weights, values: _Values) -> _Values:
    """Return the output of the layers before `index` for one sample, without dropout."""
    for number, layer in enumerate(network.layers[:index]):
        match layer:
            case Flatten():
                values = values.ravel()
            case Linear():
                values = values @ weights[f"{number}.weight"].T + weights[f"{number}.bias"]
            case Conv2d():
                values = _convolution(values, weights[f"{number}.weight"]) + weights[f"{number}.bias"][:, None, None]
            case MaxPool2d():
                values = _pooled(values)
            case Activation():
                values = _ACTIVATIONS[layer.kind](values)
            case Dropout() | Softmax():
                pass
    return values


_ACTIVATIONS: dict[str, Callable[[_Values], _Values]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "gelu": lambda x: x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2,
}


def _convolution(x: _Values, kernels: NDArray[np.floating]) -> _Values:
    """Return the cross-correlation (out, height, width) of an image (in, height, width), padded with zeros."""
    size = kernels.shape[-1]
    before, after = (size - 1) // 2, size // 2
    padded = np.pad(x, ((0, 0), (before, after), (before, after)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    result: _Values = np.einsum("chwij,ocij->ohw", windows, kernels)
    return result


def _pooled(x: _Values) -> _Values:
    """Return the maxima of 2x2 windows of an image (channels, height, width)."""
    channels, height, width = x.shape[0], x.shape[1] // 2, x.shape[2] // 2
    maxima: _Values = x[:, : 2 * height, : 2 * width].reshape(channels, height, 2, width, 2).max(axis=(2, 4))
    return maxima
