"""Samples from .csv files, with pandas, and from .parquet files, with pyarrow."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError, UsageError
from mlcli.predict.samples import SampleBatch, SampleSource, ordered_columns, reading
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    import pandas as pd

_MAX_HEADER = 16 * 2**20  # characters
_MAX_SHOWN = 60  # characters of a cell, name or type in a message
_ENCODING = "utf-8-sig"  # skips the byte order mark that Excel writes
_CSV = "a table of comma-separated numbers"
_PARQUET = "a readable Parquet file"


def require_pyarrow(path: Path) -> None:
    """UsageError, with the command that installs it, if pyarrow is missing."""
    if find_spec("pyarrow") is None:
        raise UsageError(f"{path}: .parquet needs pyarrow, which is not installed\npip install 'mlcli[parquet]'")


def open_csv(path: Path, expected: Preprocessing) -> SampleSource:
    """Return the rows of a .csv file: numbers under a header, which may be missing for pixels.

    DataError unless the columns are those of the run.
    """
    columns = _csv_header(path)
    has_header = bool(expected.feature_names) or not all(map(_is_number, columns))
    if not expected.feature_names:
        # Pixels are identified by position; their names may repeat.
        columns = [f"pixel {index}" for index in range(len(columns))]
    ordered = ordered_columns(str(path), columns, expected)

    def read(n_rows: int) -> Iterator[SampleBatch]:
        n_read = 0
        for chunk in _csv_chunks(path, columns, has_header, n_rows):
            _parse_texts(str(path), chunk, n_read)
            yield SampleBatch(chunk[ordered].to_numpy(dtype=np.float64))
            n_read += len(chunk)

    return SampleSource(str(path), expected, read)


def _csv_header(path: Path) -> list[str]:
    """Return the cells of the first line that is not empty."""
    with reading(str(path), _CSV), path.open(encoding=_ENCODING, newline="") as file:
        while line := file.readline(_MAX_HEADER):
            if len(line) == _MAX_HEADER:
                raise ValueError(f"a line of {_MAX_HEADER:,} characters or more")
            if line.strip("\r\n"):
                return [name.strip() for name in next(csv.reader([line], skipinitialspace=True))]
    raise DataError(f"{path}: the file is empty")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _csv_chunks(path: Path, columns: list[str], has_header: bool, n_rows: int) -> Iterator[pd.DataFrame]:
    import pandas as pd

    header = 0 if has_header else None
    with (
        reading(str(path), _CSV),
        pd.read_csv(
            path, header=header, names=columns, chunksize=n_rows, encoding=_ENCODING, skipinitialspace=True
        ) as chunks,
    ):
        for chunk in chunks:
            # pandas takes the first cells of rows that are longer than the header for an index.
            if not isinstance(chunk.index, pd.RangeIndex):
                raise DataError(f"{path}: a row has more cells than the header")
            yield chunk


def _parse_texts(location: str, chunk: pd.DataFrame, first_row: int) -> None:
    """Replace columns in which pandas found more than numbers; DataError with the first cell that is not a number."""
    import pandas as pd

    for name, column in chunk.items():
        if column.dtype.kind in "iuf":
            continue
        numbers = pd.to_numeric(column, errors="coerce")
        is_text = column.notna() & (numbers.isna() | (column.dtype == bool))
        if is_text.any():
            row = int(np.flatnonzero(is_text)[0])
            found = str(column.iloc[row])[:_MAX_SHOWN]
            raise DataError(
                f"{location}: sample {first_row + row} (from 0), column {name!r}: {found!r} is not a number"
            )
        chunk[name] = numbers


def open_parquet(path: Path, expected: Preprocessing) -> SampleSource:
    """Return the rows of a .parquet file; DataError unless the columns are those of the run and contain numbers."""
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet

    with reading(str(path), _PARQUET), pyarrow.parquet.ParquetFile(path) as file:
        schema, n_samples = file.schema_arrow, file.metadata.num_rows
    ordered = ordered_columns(str(path), schema.names, expected)
    for field in schema:
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            name, kind = field.name[:_MAX_SHOWN], escaped(str(field.type), _MAX_SHOWN)
            raise DataError(f"{path}: column {name!r} contains {kind}, expected numbers")
    return SampleSource(str(path), expected, partial(_parquet_rows, path, ordered), n_samples)


def _parquet_rows(path: Path, columns: list[str], n_rows: int) -> Iterator[SampleBatch]:
    import pyarrow.parquet

    with reading(str(path), _PARQUET), pyarrow.parquet.ParquetFile(path) as file:
        positions = [file.schema_arrow.names.index(name) for name in columns]
        for batch in file.iter_batches(batch_size=n_rows):
            values: list[Any] = [batch.column(position).to_numpy(zero_copy_only=False) for position in positions]
            yield SampleBatch(np.stack(values, axis=1).astype(np.float64, copy=False))
