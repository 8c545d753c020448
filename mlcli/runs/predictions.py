"""The test scores of a run from their archive, whose sizes are believed only where the bytes are there."""

from __future__ import annotations

import io
import math
import struct
import zipfile
from tokenize import TokenError
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES = ("y", "labels", "logits", "probabilities")


def parsed_predictions(data: bytes) -> dict[str, NDArray[Any]]:
    """y and labels int64 (n,), logits and probabilities float (n, classes) where there are any, n at least 1.

    ValueError for anything else. A run stores its arrays as they are: a member that is compressed, or whose header
    announces other bytes than follow, is refused before anything is allocated for it.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            present = [name for name in _NAMES if f"{name}.npy" in archive.namelist()]
            arrays = {name: _array(_member(archive, f"{name}.npy")) for name in present}
    except (zipfile.BadZipFile, struct.error, EOFError, RuntimeError, OverflowError, OSError) as error:
        raise ValueError(f"not an archive of arrays: {error}") from error
    _check(arrays)
    return arrays


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, and a run stores it as it is")
    return archive.read(name)


def _array(data: bytes) -> NDArray[Any]:
    import numpy as np
    from numpy.lib import format as npy_format

    stream = io.BytesIO(data)
    if npy_format.read_magic(stream) != (1, 0):
        raise ValueError("another version of the array format")
    try:
        shape, is_fortran, dtype = npy_format.read_array_header_1_0(stream)
    except (SyntaxError, TokenError, RecursionError, MemoryError, TypeError) as error:
        raise ValueError("an array header that cannot be read") from error
    values = memoryview(data)[stream.tell() :]
    if is_fortran or dtype.kind not in "if" or min(shape, default=0) < 0:
        raise ValueError(f"an array of {dtype}, expected numbers in C order")
    if math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"an array that announces shape {shape} and holds {len(values):,} bytes")
    return np.frombuffer(values, dtype).reshape(shape)


def _check(arrays: dict[str, NDArray[Any]]) -> None:
    import numpy as np

    for name in ("y", "labels"):
        if name not in arrays or arrays[name].dtype != np.int64 or arrays[name].ndim != 1:
            raise ValueError(f"{name} is missing, or not int64 (n,)")
    n_samples = len(arrays["y"])
    for name, array in arrays.items():
        if name in ("logits", "probabilities") and (array.dtype.kind != "f" or array.ndim != 2):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected floats (n, classes)")
        if len(array) != n_samples or n_samples == 0:
            raise ValueError(f"{name} is of {len(array):,} samples, and y of {n_samples:,}")
