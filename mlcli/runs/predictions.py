"""The test scores of a run as an .npz archive, written and read."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlcli.untrusted import malformed_as_value_error, sized_array_header

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NAMES = ("y", "labels", "logits", "probabilities")


def predictions_bytes(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return the content of an archive of arrays, uncompressed."""
    import numpy as np

    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def parsed_predictions(data: bytes) -> dict[str, NDArray[Any]]:
    """Return y and labels int64 (n,), and logits and probabilities float (n, classes) if stored; n is at least 1.

    ValueError for anything else. A run stores its arrays uncompressed and in C order; other members are ignored.
    """
    with malformed_as_value_error("not an archive of arrays"), zipfile.ZipFile(io.BytesIO(data)) as archive:
        present = [name for name in _NAMES if f"{name}.npy" in archive.namelist()]
        arrays = {name: _array(_member(archive, f"{name}.npy")) for name in present}
    _check_shapes(arrays)
    return arrays


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    if archive.getinfo(name).compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"{name} is compressed, but a run stores it uncompressed")
    return archive.read(name)


def _array(data: bytes) -> NDArray[Any]:
    import numpy as np

    stream = io.BytesIO(data)
    header = sized_array_header(stream, len(data))
    if header.is_fortran or header.dtype.kind not in "if":
        raise ValueError(f"an array of {header.dtype}, expected numbers in C order")
    return np.frombuffer(memoryview(data)[stream.tell() :], header.dtype).reshape(header.shape)


def _check_shapes(arrays: Mapping[str, NDArray[Any]]) -> None:
    import numpy as np

    for name in ("y", "labels"):
        if name not in arrays or arrays[name].dtype != np.int64 or arrays[name].ndim != 1:
            raise ValueError(f"{name} is missing, or not int64 (n,)")
    n_samples = len(arrays["y"])
    for name, array in arrays.items():
        if name in ("logits", "probabilities") and (array.dtype.kind != "f" or array.ndim != 2):
            raise ValueError(f"{name} is {array.dtype} {array.shape}, expected floats (n, classes)")
        if len(array) != n_samples or n_samples == 0:
            raise ValueError(f"{name} has {len(array):,} samples, and y has {n_samples:,}")
