"""Which columns of a file hold the samples."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from mlcli.errors import DataError
from mlcli.records import Preprocessing

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
