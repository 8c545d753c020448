"""Initial weights: a pure function of the network and the seed, shared by all engines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from mlcli.models.layers import Activation, Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Separates this random stream from the others that use the seed of the run.
_STREAM = 0x57


def initial_weights(network: Network, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return canonical weights, float64, with biases of zero.

    Layers before a relu or gelu are drawn from He's uniform distribution, with the bound sqrt(6 / fan_in)
    (He et al., arXiv:1502.01852); all others from Glorot's, with the bound sqrt(6 / (fan_in + fan_out))
    (Glorot and Bengio, 2010). Logistic regression is convex and starts at zero, as in scikit-learn.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM])))
    weights: dict[str, NDArray[np.float64]] = {}
    for name, shape in network.parameter_shapes().items():
        if name.endswith(".bias") or network.kind == "logistic":
            weights[name] = np.zeros(shape)
        else:
            bound = _bound(network, int(name.split(".")[0]), shape)
            weights[name] = generator.uniform(-bound, bound, shape)
    return weights


def _bound(network: Network, index: int, shape: tuple[int, ...]) -> float:
    kernel_area = math.prod(shape[2:])
    fan_in, fan_out = shape[1] * kernel_area, shape[0] * kernel_area
    following = network.layers[index + 1] if index + 1 < len(network.layers) else None
    if isinstance(following, Activation) and following.kind in ("relu", "gelu"):
        return math.sqrt(6 / fan_in)
    return math.sqrt(6 / (fan_in + fan_out))


def as_precision(weights: Mapping[str, NDArray[np.floating]], precision: str) -> dict[str, NDArray[np.floating]]:
    """Return the weights rounded to a precision (float32 or float64), in C order."""
    return {name: np.ascontiguousarray(array, dtype=precision) for name, array in weights.items()}
