"""Samples from .csv files, read in pieces."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError
from mlcli.predict.readers import SampleBatch, rows_per_batch
from mlcli.predict.sample_checks import check_finite, sample_columns
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_MOST_CHARACTERS = 16 * 2**20  # of the line with the names
_ENCODING = "utf-8-sig"  # a byte order mark, which Excel writes, is no part of the first name


@dataclass
class CsvFile:
    """Rows of numbers under a header; for pixels the header may be absent."""

    path: Path
    expected: Preprocessing
    columns: list[str]
    has_header: bool
    n_samples: int | None = None  # known only at the end
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SampleBatch]:
        start = 0
        for chunk in self._chunks():
            yield SampleBatch(self._numbers(chunk, start).reshape(-1, *self.expected.input_shape))
            start += len(chunk)
        if start == 0:
            raise DataError(f"{self.path}: there are no samples in it")

    def _chunks(self) -> Iterator[pd.DataFrame]:
        import pandas as pd

        with _read_errors(self.path):
            reader = pd.read_csv(
                self.path,
                header=0 if self.has_header else None,
                index_col=False,
                chunksize=rows_per_batch(self.expected),
                encoding=_ENCODING,
                skipinitialspace=True,
            )
        while (chunk := self._next(reader)) is not None:
            # pandas would name a second column of the same name in its own way.
            chunk.columns = pd.Index(self.columns)
            yield chunk

    def _next(self, reader: Iterator[pd.DataFrame]) -> pd.DataFrame | None:
        with _read_errors(self.path):
            return next(reader, None)

    def _numbers(self, chunk: pd.DataFrame, start: int) -> NDArray[np.float64]:
        """float64 (n, features) in the run's order of columns."""
        place = str(self.path)
        names = sample_columns(place, self.columns, self.expected)
        if any(not _is_numeric(dtype) for dtype in chunk.dtypes):
            for name in names:
                chunk[name] = self._parsed(chunk[name], start)
        x: NDArray[np.float64] = chunk[names].to_numpy(dtype=np.float64)
        if self.expected.feature_names:
            _refuse_gaps(place, x, start, names)
        check_finite(place, x, start, self.expected)
        return x

    def _parsed(self, column: pd.Series[Any], start: int) -> pd.Series[Any]:
        import pandas as pd

        numbers = pd.to_numeric(column, errors="coerce")
        is_text = column.notna() & (numbers.isna() | (column.dtype == bool))
        if is_text.any():
            row = int(np.flatnonzero(is_text)[0])
            found = str(column.iloc[row])[:60]
            raise DataError(
                f"{self.path}: sample {start + row} (from 0), column {str(column.name)!r}: {found!r} is not a number"
            )
        return numbers


def open_csv(path: Path, expected: Preprocessing) -> CsvFile:
    """The rows of a .csv file; DataError where the columns are not those of the run."""
    with _read_errors(path), path.open(encoding=_ENCODING, newline="") as file:
        first = next((row for row in csv.reader(_lines(file), skipinitialspace=True) if row), None)
    if first is None:
        raise DataError(f"{path}: the file is empty")
    columns = [name.strip() for name in first]
    has_header = bool(expected.feature_names) or not all(map(_is_number, columns))
    if not expected.feature_names:
        # Pixels are known by their place, and their names may repeat.
        columns = [f"pixel {index}" for index in range(len(columns))]
    sample_columns(str(path), columns, expected)
    return CsvFile(path, expected, columns, has_header)


def _lines(file: IO[str]) -> Iterator[str]:
    """Its lines; ValueError for one without an end, which would have to be held whole."""
    while line := file.readline(_MOST_CHARACTERS):
        if len(line) == _MOST_CHARACTERS:
            raise ValueError(f"a line of {_MOST_CHARACTERS:,} characters or more")
        yield line


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_numeric(dtype: Any) -> bool:
    return getattr(dtype, "kind", "O") in "iuf"


def _refuse_gaps(place: str, x: NDArray[np.float64], start: int, names: list[str]) -> None:
    missing = np.argwhere(np.isnan(x))
    if len(missing):
        row, column = missing[0].tolist()
        raise DataError(f"{place}: sample {start + row} (from 0), column {names[column]!r}: there is no number")


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    """Log what is wrong with a file in place of the errors and warnings that pandas has for it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Length of header or names does not match")
            yield
    except Warning as error:
        raise DataError(f"{path}: a row has more cells than the header has names") from error
    except (ValueError, TypeError, OverflowError, MemoryError, OSError, csv.Error) as error:
        # pandas.errors.ParserError and UnicodeDecodeError are ValueErrors.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path}: not a table of comma-separated numbers: {escaped(lines[0])}") from error
