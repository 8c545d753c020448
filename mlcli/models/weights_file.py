"""Weights as a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

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
