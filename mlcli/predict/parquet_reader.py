"""Samples from .parquet files, read in pieces; pyarrow is an extra."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from mlcli.errors import DataError, UsageError
from mlcli.predict.readers import SampleBatch, rows_per_batch
from mlcli.predict.sample_checks import check_finite, sample_columns
from mlcli.records import Preprocessing
from mlcli.text import escaped


def require_pyarrow(path: Path) -> None:
    """UsageError, with the remedy, where pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise UsageError(f"{path}: .parquet needs pyarrow, which is not installed\npip install 'mlcli[parquet]'")


@dataclass
class ParquetFile:
    """Columns of numbers."""

    path: Path
    expected: Preprocessing
    columns: list[str]
    n_samples: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SampleBatch]:
        start = 0
        with _read_errors(self.path), _opened(self.path) as file:
            for batch in file.iter_batches(batch_size=rows_per_batch(self.expected), columns=self.columns):
                x = np.empty((batch.num_rows, len(self.columns)), dtype=np.float64)
                for index, name in enumerate(self.columns):
                    self._refuse_gap(batch.column(name), name, start)
                    x[:, index] = batch.column(name).to_numpy(zero_copy_only=False)
                check_finite(str(self.path), x, start, self.expected)
                yield SampleBatch(x.reshape(-1, *self.expected.input_shape))
                start += batch.num_rows
        if start != self.n_samples:
            raise DataError(f"{self.path}: announces {self.n_samples:,} samples, and {start:,} are there")

    def _refuse_gap(self, column: Any, name: str, start: int) -> None:
        if column.null_count:
            row = int(np.flatnonzero(column.is_null().to_numpy(zero_copy_only=False))[0])
            raise DataError(f"{self.path}: sample {start + row} (from 0), column {name!r}: there is no number")


def open_parquet(path: Path, expected: Preprocessing) -> ParquetFile:
    """The rows of a .parquet file; DataError where the columns are not those of the run, or hold no numbers."""
    require_pyarrow(path)
    import pyarrow as pa

    with _read_errors(path), _opened(path) as file:
        schema, n_samples = file.schema_arrow, file.metadata.num_rows
    columns = sample_columns(str(path), schema.names, expected)
    for name in columns:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise DataError(f"{path}: column {name!r} holds {kind}, expected numbers")
    if n_samples < 1:
        raise DataError(f"{path}: there are no samples in it")
    return ParquetFile(path, expected, columns, n_samples)


def _opened(path: Path) -> Any:
    import pyarrow.parquet

    return pyarrow.parquet.ParquetFile(path)


@contextmanager
def _read_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (ValueError, TypeError, KeyError, RuntimeError, OverflowError, MemoryError, OSError) as error:
        # Each of pyarrow's errors is one of these too.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{path}: not a Parquet file that can be read: {escaped(lines[0], 200)}") from error
