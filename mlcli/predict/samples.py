"""What every reader of samples shares: the source and its batches, and the checks that a run's samples must pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.preprocessing import as_native
from mlcli.errors import DataError, MlcliError
from mlcli.records import Preprocessing
from mlcli.rendering.score_files import Column
from mlcli.text import first_line, listed

_BATCH_BYTES = 16 * 2**20  # of a batch as float32
_MAX_ROWS = 65_536
# Engines scale and multiply in float32, whose largest number is 3e38; no measurement comes near either.
_MAX_VALUE = 1e18
_N_NAMES_SHOWN = 6  # in a message
_MAX_NAME = 60  # characters of a name in a message


@dataclass(frozen=True)
class SampleBatch:
    """Raw values of consecutive samples, integers or floats, (n, *input_shape) or (n, values per sample).

    names: the file of each sample, for images. kept: columns of the file that are carried to the output.
    """

    x: NDArray[Any]
    names: tuple[str, ...] | None = None
    kept: Mapping[str, Column] = field(default_factory=dict)


@dataclass(frozen=True)
class SampleSource:
    """The samples of a file or folder, read batch by batch, so that it may be larger than memory.

    read: called with a number of rows, yields batches of at most that many. n_samples: what the file announces, None
    if that is known only at its end.
    """

    location: str
    expected: Preprocessing
    read: Callable[[int], Iterator[SampleBatch]]
    n_samples: int | None = None
    notes: tuple[str, ...] = ()
    late_notes: Callable[[], Sequence[str]] = tuple  # those that are known after all samples were read

    def batches(self) -> Iterator[SampleBatch]:
        """Yield all samples once, in order, shaped (n, *input_shape), as uint8, float32 or float64.

        DataError at the first value that cannot be scored, and at the end if the file announced other samples.
        """
        n_read = 0
        for batch in self.read(rows_per_batch(self.expected)):
            x = _channels_first(as_native(batch.x), self.expected.input_shape)
            _check_values(self.location, x, n_read, self.expected)
            yield replace(batch, x=x)
            n_read += len(x)
        if n_read == 0:
            raise DataError(f"{self.location}: contains no samples")
        if self.n_samples is not None and n_read != self.n_samples:
            raise DataError(f"{self.location}: announces {self.n_samples:,} samples but contains {n_read:,}")


def _channels_first(x: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Return samples in a shape that is equivalent to that of the run as (n, *shape)."""
    if x.ndim == 4 and x.shape[1:] != shape and x.shape[1:] == (*shape[1:], *shape[:1]):
        return np.ascontiguousarray(np.moveaxis(x, -1, 1))
    return x.reshape(-1, *shape)


def rows_per_batch(expected: Preprocessing) -> int:
    """Return how many samples to hold in memory at a time."""
    return max(1, min(_MAX_ROWS, _BATCH_BYTES // (4 * math.prod(expected.input_shape))))


@contextmanager
def reading(location: str, kind: str) -> Iterator[None]:
    """Raise DataError, "LOCATION: not KIND: reason", in place of any error of a library.

    Content that is malformed makes numpy, zipfile, pandas, pyarrow and Pillow raise errors of two dozen types.
    """
    try:
        yield
    except MlcliError:
        raise
    except Exception as error:
        raise DataError(f"{location}: not {kind}: {first_line(error)}") from error


def _check_values(location: str, x: NDArray[Any], first_row: int, expected: Preprocessing) -> None:
    """DataError with row and column or pixel of the first value that is NaN, infinite or beyond 1e18.

    Where the run takes missing values, NaN is one.
    """
    if x.dtype.kind != "f":
        return
    is_valid = np.abs(x) <= _MAX_VALUE  # False for NaN too
    if expected.encoding is not None and expected.encoding.form == "codes":
        is_valid |= np.isnan(x)
    if is_valid.all():
        return
    row, *position = np.argwhere(~is_valid)[0].tolist()
    value = x[(row, *position)]
    where = f"column {expected.feature_names[position[0]]!r}" if expected.feature_names else f"pixel {position}"
    problem = "missing value (nan)" if np.isnan(value) else f"{value} is too large"
    raise DataError(
        f"{location}: sample {first_row + row} (from 0), {where}: {problem}; expected a number up to {_MAX_VALUE:g}"
    )


def ordered_columns(
    location: str, columns: Sequence[str], expected: Preprocessing, others: Sequence[str] = ()
) -> list[str]:
    """Return the columns of a table in the order of the run: features by name, pixels by position.

    others: columns that may be present too. DataError for a column that is missing, unexpected or repeated.
    """
    if not expected.feature_names:
        n_pixels = math.prod(expected.input_shape)
        if len(columns) != n_pixels:
            size = " x ".join(map(str, expected.input_shape[1:]))
            raise DataError(
                f"{location}: {len(columns)} columns, expected {n_pixels}, one for each pixel of {size}, row by row, "
                "without labels or an index"
            )
        return list(columns)
    expected_names = expected.feature_names
    repeated = sorted(name for name, n in Counter(columns).items() if n > 1)
    if repeated:
        raise DataError(f"{location}: column {repeated[0][:_MAX_NAME]!r} appears more than once")
    found, known = set(columns), {*expected_names, *others}
    missing = [name for name in expected_names if name not in found]
    unexpected = [name for name in columns if name not in known]
    if missing or unexpected:
        problems = [f"missing columns: {_listed(missing)}"] if missing else []
        problems += [f"unexpected columns: {_listed(unexpected)}"] if unexpected else []
        raise DataError(f"{location}: {'; '.join(problems)}\nexpected {', '.join(expected_names)}, in any order")
    return list(expected_names)


def _listed(names: Sequence[str]) -> str:
    return listed([repr(name[:_MAX_NAME]) for name in names], _N_NAMES_SHOWN)
