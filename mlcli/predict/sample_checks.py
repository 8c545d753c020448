"""Numbers that an engine can take: native types, and nothing that is not finite once it is scaled."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
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


_N_SHOWN = 6  # column names in a message
_LONGEST_SHOWN = 60  # characters of a name


def sample_columns(place: str, columns: Sequence[str], expected: Preprocessing) -> list[str]:
    """The columns in the order that the run expects: by name for tables, by position for pixels.

    DataError where one is missing or there is one more.
    """
    if not expected.feature_names:
        return _pixel_columns(place, columns, expected)
    names, present = expected.feature_names, Counter(columns)
    doubled = sorted(name for name, n in present.items() if n > 1)
    if doubled:
        raise DataError(f"{place}: column {doubled[0][:_LONGEST_SHOWN]!r} is there twice")
    missing = [name for name in names if name not in present]
    known = set(names)
    extra = [name for name in columns if name not in known]
    if missing or extra:
        faults = [f"columns that are missing: {_listed(missing)}"] if missing else []
        faults += [f"columns that are not expected: {_listed(extra)}"] if extra else []
        raise DataError(f"{place}: {'; '.join(faults)}\nexpected {', '.join(names)}, in any order")
    return list(names)


def _pixel_columns(place: str, columns: Sequence[str], expected: Preprocessing) -> list[str]:
    n_pixels = math.prod(expected.input_shape)
    if len(columns) != n_pixels:
        size = " x ".join(map(str, expected.input_shape[1:]))
        raise DataError(
            f"{place}: {len(columns)} columns, expected {n_pixels}, one for each pixel of {size}, row by row; "
            "no label, no index"
        )
    return list(columns)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    return ", ".join(repr(name[:_LONGEST_SHOWN]) for name in names[:_N_SHOWN]) + more
