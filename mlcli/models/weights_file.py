"""Weights as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlcli.errors import MlcliError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def weights_bytes(weights: Mapping[str, NDArray[np.floating]]) -> bytes:
    """The content of the file, which PyTorch loads as a `state_dict`.

    safetensors 0.8.0 stores arrays that are not in C order wrongly and without a word, so they are made contiguous,
    and what was written is read back and compared; MlcliError where it differs.
    """
    import numpy as np
    from safetensors.numpy import load, save

    contiguous = {name: np.ascontiguousarray(array) for name, array in weights.items()}
    data: bytes = save(contiguous, metadata={"format": "pt"})
    for name, array in load(data).items():
        if not np.array_equal(array, contiguous[name], equal_nan=True):
            raise MlcliError(f"weight {name} did not survive being written in safetensors form; nothing was saved")
    return data


def parsed_weights(data: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of a file by name, as they are there; ValueError for anything else.

    The header is held to the bytes that follow before an array is made: its offsets, types and shapes must account
    for every one of them.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays: dict[str, NDArray[Any]] = load(data)
    except (SafetensorError, KeyError, TypeError, OverflowError) as error:
        raise ValueError(f"not a safetensors file of numbers: {error}") from error
    return arrays
