"""Canonical weights: drawn from a seed, rounded to a precision, and as the content of weights.safetensors.

Importing this module does not import numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlcli.errors import MlcliError
from mlcli.models.layers import Activation, Network

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Separates this random stream from the others that use the seed of the run.
_STREAM = 0x57


def initial_weights(network: Network, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return canonical weights, float64, with biases of zero.

    Layers before a relu or gelu are drawn from He's uniform distribution, with the bound sqrt(6 / fan_in)
    (He et al., arXiv:1502.01852); all others from Glorot's, with the bound sqrt(6 / (fan_in + fan_out))
    (Glorot and Bengio, 2010). Logistic regression is convex and starts at zero, as in scikit-learn.
    """
    import numpy as np

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
    import numpy as np

    return {name: np.ascontiguousarray(array, dtype=precision) for name, array in weights.items()}


def weights_bytes(weights: Mapping[str, NDArray[np.floating]]) -> bytes:
    """Return the content of a safetensors file, which PyTorch loads as a `state_dict`.

    safetensors 0.8.0 silently corrupts arrays that are not in C order. They are therefore made contiguous, and the
    content is read back and compared; MlcliError if it differs.
    """
    import numpy as np
    from safetensors.numpy import load, save

    contiguous = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    data: bytes = save(contiguous, metadata={"format": "pt"})
    for name, array in load(data).items():
        if not np.array_equal(array, contiguous[name], equal_nan=True):
            raise MlcliError(f"weight {name} changed when it was written in safetensors form; nothing was saved")
    return data


def parsed_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """Return the arrays of a safetensors file by name; ValueError for any other content.

    safetensors verifies the header before it creates an array: offsets, types and shapes must account for exactly
    the bytes that follow.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a safetensors file of numbers: {error}") from error
    return arrays
