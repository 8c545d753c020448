"""CSV and Parquet files: samples are read from them, and predictions written, batch by batch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError, UsageError
from mlcli.files import refuse_existing, written_whole
from mlcli.predict.samples import SampleBatch, SampleSource, ordered_columns, reading
from mlcli.records import Preprocessing, Scores
from mlcli.registry import alternatives
from mlcli.text import escaped

if TYPE_CHECKING:
    import pandas as pd

_MAX_HEADER = 16 * 2**20  # characters
_MAX_SHOWN = 60  # characters of a cell, name or type in a message
_ENCODING = "utf-8-sig"  # skips the byte order mark that Excel writes
_CSV = "a table of comma-separated numbers"
_PARQUET = "a readable Parquet file"
_FileNames = tuple[str, ...] | None  # of the images that were predicted; None for other samples


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


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


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
            _parse_texts(str(path), chunk)
            yield SampleBatch(chunk[ordered].to_numpy(dtype=np.float64))


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


def check_output(path: Path, *, force: bool) -> None:
    """UsageError for a kind of file that cannot be written, and for an existing file unless `force` is set."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"--output {path}: cannot write this kind of file; use {alternatives(WRITERS)}")
    if path.suffix.lower() == ".parquet":
        require_pyarrow(path)
    refuse_existing(path, force=force)


@contextmanager
def prediction_output(path: Path, class_names: Sequence[str]) -> Iterator[_CsvWriter | _ParquetWriter]:
    """Yield a writer for `path`; the file appears when the block ends, and not at all if the block raises.

    Its columns are index, or file for images, label, class_name and one probability per class.
    """
    with written_whole(path) as part, closing(WRITERS[path.suffix.lower()](part, class_names)) as writer:
        yield writer


def _columns(scores: Scores, names: _FileNames, class_names: Sequence[str]) -> list[str]:
    columns = ["index" if names is None else "file", "label", "class_name"]
    return columns if scores.probabilities is None else [*columns, *(f"probability_{name}" for name in class_names)]


class _CsvWriter:
    """One line of text per sample; formatting whole lines takes a fifth of the time of DataFrame.to_csv."""

    def __init__(self, part: Path, class_names: Sequence[str]) -> None:
        self._file = part.open("w", encoding="utf-8", newline="")
        self._class_names = class_names
        self._class_cells = [_csv_line([name]) for name in class_names]
        self._n_written = 0

    def write(self, scores: Scores, names: _FileNames) -> None:
        """Append the predictions for the next samples; names: the file of each, for images."""
        columns = _columns(scores, names, self._class_names)
        if self._n_written == 0:
            self._file.write(_csv_line(columns) + "\n")
        labels = scores.labels.tolist()
        indices = range(self._n_written, self._n_written + len(labels))
        first = indices if names is None else [_csv_line([name]) for name in names]
        probabilities = [()] * len(labels) if scores.probabilities is None else scores.probabilities.tolist()
        n_digits = 17 if scores.probabilities is not None and scores.probabilities.dtype == np.float64 else 9
        line = "%s,%d,%s" + f",%.{n_digits}g" * (len(columns) - 3) + "\n"  # digits that identify a number exactly
        cells = self._class_cells
        rows = zip(first, labels, probabilities, strict=True)
        self._file.write("".join([line % (name, label, cells[label], *row) for name, label, row in rows]))
        self._n_written += len(labels)

    def close(self) -> None:
        self._file.close()


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()


class _ParquetWriter:
    """The columns and types of a table."""

    def __init__(self, part: Path, class_names: Sequence[str]) -> None:
        self._part = part
        self._class_names = list(class_names)
        self._n_written = 0
        self._writer: Any = None  # made for the columns of the first batch

    def write(self, scores: Scores, names: _FileNames) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        n = len(scores.labels)
        first = np.arange(self._n_written, self._n_written + n) if names is None else list(names)
        values = [first, scores.labels, np.array(self._class_names)[scores.labels]]
        if scores.probabilities is not None:
            values += list(np.ascontiguousarray(scores.probabilities.T))
        table = pa.table([pa.array(one) for one in values], names=_columns(scores, names, self._class_names))
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._part, table.schema)
        self._writer.write_table(table)
        self._n_written += n

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()


WRITERS: dict[str, type[_CsvWriter] | type[_ParquetWriter]] = {".csv": _CsvWriter, ".parquet": _ParquetWriter}
