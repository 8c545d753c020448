"""The content of weights.safetensors, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlcli.errors import MlcliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


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
