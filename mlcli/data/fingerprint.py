"""Digests of content that are the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def content_sha256(array: NDArray[Any]) -> str:
    """sha256 (hex) over the values in C order and little-endian bytes; does not copy an array that is so already."""
    canonical = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return hashlib.sha256(canonical.reshape(-1).view(np.uint8).data).hexdigest()


def fingerprint(arrays: Mapping[str, NDArray[Any]], digests: Mapping[str, str] | None = None) -> str:
    """sha256 (hex) over one line an array: name, dtype, shape and `content_sha256`.

    digests: the content digests, where they are known already.
    """
    lines = []
    for name, array in arrays.items():
        digest = digests[name] if digests else content_sha256(array)
        shape = "x".join(str(size) for size in array.shape)
        lines.append(f"{name} {array.dtype.name} {shape} {digest}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
