"""Columns of the input of a prediction that are carried to its output, such as ids."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.data.own.table_file import TableFile
from mlcli.errors import DataError, UsageError, nearest_match
from mlcli.predict.samples import SampleBatch, SampleSource, reading
from mlcli.rendering.score_files import Column
from mlcli.text import escaped, listed

if TYPE_CHECKING:
    import pandas as pd

_N_SHOWN = 12


def with_kept_columns(source: SampleSource, path: Path, names: Sequence[str]) -> SampleSource:
    """Return samples of a known dataset whose batches carry columns of their file, which is read twice for that.

    UsageError for a kind of file without named columns, and for a column that the file lacks.
    """
    file = TableFile(path, missing=(), verbatim=tuple(names))
    file.check()
    return replace(source, read=partial(_kept_rows, source.read, file, checked_columns(file, names)))


def checked_columns(file: TableFile, names: Sequence[str]) -> dict[str, bool]:
    """Return whether each column holds numbers, which are kept as such; UsageError for one that the file lacks."""
    present = file.column_names()
    for name in names:
        if name not in present:
            guess = nearest_match(name, present)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise UsageError(
                f"--keep: {file.location} has no column {escaped(name)!r}{hint}\n"
                f"its columns: {listed(present, _N_SHOWN)}"
            )
    numbers = _number_columns(file, present) if names else set()
    return {name: name in numbers for name in names}


def _number_columns(file: TableFile, names: Sequence[str]) -> set[str]:
    """Return the columns of a Parquet file that hold integers or floating-point numbers; none of a delimited file."""
    if not file.is_parquet:
        return set()
    import pyarrow as pa
    import pyarrow.parquet

    with reading(file.location, "a readable Parquet file"):
        types = pa.parquet.read_schema(pa.OSFile(os.fsencode(file.path))).types
    return {
        name for name, kind in zip(names, types, strict=True) if pa.types.is_integer(kind) or pa.types.is_floating(kind)
    }


def _kept_rows(
    read: Callable[[int], Iterator[SampleBatch]], file: TableFile, has_numbers: Mapping[str, bool], n_rows: int
) -> Iterator[SampleBatch]:
    """Yield batches with the same rows of a second reading of the file."""
    for batch, frame in zip(read(n_rows), file.read(has_numbers, n_rows), strict=False):
        if len(batch.x) != len(frame):
            raise DataError(f"{file.location}: rows differ between two readings; it must not change meanwhile")
        yield replace(batch, kept=kept_cells(frame, has_numbers))


def kept_cells(frame: pd.DataFrame, has_numbers: Mapping[str, bool]) -> dict[str, Column]:
    """Return columns of some rows as a batch carries them."""
    return {name: _cells(frame[name], is_number) for name, is_number in has_numbers.items()}


def _cells(values: pd.Series[Any], is_number: bool) -> Column:
    """Return texts, None where one is missing, or int64 or float64; the latter if one is missing, as NaN."""
    is_missing = values.isna().tolist()
    if not is_number:
        return [None if missing else str(value) for value, missing in zip(values.tolist(), is_missing, strict=True)]
    if values.dtype.kind in "iu" and not any(is_missing):
        return values.to_numpy(dtype=np.int64)
    return values.to_numpy(dtype=np.float64, na_value=np.nan)
