"""Numbers that an engine can take: native types, and nothing that is not finite once it is scaled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError
from mlcli.records import Preprocessing

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Engines scale and multiply in float32, whose largest number is 3e38; no measurement comes near either.
_LARGEST = 1e18


def check_dtype(place: str, dtype: np.dtype[Any]) -> None:
    """DataError for values that are no real numbers. Python objects, which are pickled, are never loaded."""
    if dtype.hasobject:
        raise DataError(f"{place}: holds Python objects, which are never loaded; save plain numbers")
    if dtype.kind not in "buif":
        raise DataError(f"{place}: holds {dtype}, expected numbers")


def native(x: NDArray[Any]) -> NDArray[Any]:
    """The same values as bytes, float32 or float64, whichever is the smallest that holds the type exactly."""
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind == "b":
        return x.astype(np.uint8)
    is_small = x.dtype.itemsize <= (4 if x.dtype.kind == "f" else 2)
    return x.astype(np.float32 if is_small else np.float64, copy=False)


def check_finite(place: str, x: NDArray[Any], first_row: int, expected: Preprocessing) -> None:
    """DataError naming the first value that is NaN, infinite or beyond 1e18, by row from 0 and feature or pixel."""
    if x.dtype.kind != "f":
        return
    is_fit = np.abs(x) <= _LARGEST  # False for NaN too
    if is_fit.all():
        return
    row, *position = np.argwhere(~is_fit)[0].tolist()
    value = x[(row, *position)]
    where = f"column {expected.feature_names[position[0]]!r}" if expected.feature_names else f"position {position}"
    raise DataError(f"{place}: sample {first_row + row} (from 0), {where}: {value} is not a number that can be scored")
