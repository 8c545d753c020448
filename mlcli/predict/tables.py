"""CSV and Parquet files from which samples are read, batch by batch."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError
from mlcli.predict.samples import SampleBatch, SampleSource, ordered_columns, reading
from mlcli.records import Preprocessing
from mlcli.rendering.score_files import require_pyarrow
from mlcli.text import escaped, is_number

if TYPE_CHECKING:
    import pandas as pd

_MAX_HEADER = 16 * 2**20  # characters
_MAX_SHOWN = 60  # characters of a cell, name or type in a message
_ENCODING = "utf-8-sig"  # skips the byte order mark that Excel writes
_CSV = "a table of comma-separated numbers"
_PARQUET = "a readable Parquet file"


def open_csv(path: Path, expected: Preprocessing, keep: Sequence[str] = ()) -> SampleSource:
    """Return the rows of a .csv file: numbers under a header, which may be missing for pixels.

    keep: columns that may be present besides those of the run. DataError unless the columns are those of the run.
    """
    columns = _csv_header(path)
    has_header = bool(expected.feature_names) or not all(map(is_number, columns))
    if not expected.feature_names:
        # Pixels are identified by position; their names may repeat.
        columns = [f"pixel {index}" for index in range(len(columns))]
    ordered = ordered_columns(str(path), columns, expected, keep)
    return SampleSource(str(path), expected, partial(_csv_rows, path, columns, ordered, 0 if has_header else None))


def _csv_header(path: Path) -> list[str]:
    """Return the cells of the first line that is not empty."""
    with reading(str(path), _CSV), path.open(encoding=_ENCODING, newline="") as file:
        while line := file.readline(_MAX_HEADER):
            if len(line) == _MAX_HEADER:
                raise ValueError(f"a line of {_MAX_HEADER:,} characters or more")
            if line.strip("\r\n"):
                return [name.strip() for name in next(csv.reader([line], skipinitialspace=True))]
    raise DataError(f"{path}: the file is empty")


def _csv_rows(
    path: Path, columns: list[str], ordered: list[str], header: int | None, n_rows: int
) -> Iterator[SampleBatch]:
    import pandas as pd

    format_options: dict[str, Any] = {"encoding": _ENCODING, "skipinitialspace": True}
    with (
        reading(str(path), _CSV),
        pd.read_csv(path, header=header, names=columns, chunksize=n_rows, **format_options) as chunks,
    ):
        for chunk in chunks:
            # pandas takes the first cells of rows that are longer than the header for an index.
            if not isinstance(chunk.index, pd.RangeIndex):
                raise DataError(f"{path}: a row has more cells than the header")
            features = chunk[ordered].copy()
            _parse_texts(str(path), features)
            yield SampleBatch(features.to_numpy(dtype=np.float64))


def _parse_texts(location: str, chunk: pd.DataFrame) -> None:
    """Replace columns in which pandas found more than numbers; DataError with the first cell that is not a number."""
    import pandas as pd

    for name, column in chunk.items():
        if column.dtype.kind in "iuf":
            continue
        numbers = pd.to_numeric(column, errors="coerce")
        is_text = column.notna() & (numbers.isna() | (column.dtype == bool))
        if is_text.any():
            row = int(np.flatnonzero(is_text)[0])
            sample, found = chunk.index[row], str(column.iloc[row])[:_MAX_SHOWN]
            raise DataError(f"{location}: sample {sample} (from 0), column {name!r}: {found!r} is not a number")
        chunk[name] = numbers


def open_parquet(path: Path, expected: Preprocessing, keep: Sequence[str] = ()) -> SampleSource:
    """Return the rows of a .parquet file; keep: columns that may be present besides those of the run.

    DataError unless the columns are those of the run and contain numbers."""
    require_pyarrow(path)
    import pyarrow as pa
    import pyarrow.parquet

    with reading(str(path), _PARQUET), pyarrow.parquet.ParquetFile(pyarrow.OSFile(os.fsencode(path))) as file:
        schema, n_samples = file.schema_arrow, file.metadata.num_rows
    ordered = ordered_columns(str(path), schema.names, expected, keep)
    for field in (schema.field(name) for name in ordered):
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type)):
            name, kind = field.name[:_MAX_SHOWN], escaped(str(field.type), _MAX_SHOWN)
            raise DataError(f"{path}: column {name!r} contains {kind}, expected numbers")
    return SampleSource(str(path), expected, partial(_parquet_rows, path, ordered), n_samples)


def _parquet_rows(path: Path, columns: list[str], n_rows: int) -> Iterator[SampleBatch]:
    import pyarrow.parquet

    with reading(str(path), _PARQUET), pyarrow.parquet.ParquetFile(pyarrow.OSFile(os.fsencode(path))) as file:
        positions = [file.schema_arrow.names.index(name) for name in columns]
        for batch in file.iter_batches(batch_size=n_rows):
            values: list[Any] = [batch.column(position).to_numpy(zero_copy_only=False) for position in positions]
            yield SampleBatch(np.stack(values, axis=1).astype(np.float64, copy=False))
