"""Predictions as a .csv or .parquet file, written batch by batch, complete or absent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mlcli.errors import UsageError
from mlcli.files import written_whole
from mlcli.predict.tables import require_pyarrow
from mlcli.records import Scores

FileNames = tuple[str, ...] | None


def check_output(path: Path, *, force: bool) -> None:
    """UsageError for a kind of file that cannot be written, and for an existing file unless `force` is set."""
    if path.suffix.lower() not in WRITERS:
        raise UsageError(f"--output {path}: cannot write this kind of file; use {' or '.join(WRITERS)}")
    if path.suffix.lower() == ".parquet":
        require_pyarrow(path)
    if path.is_dir():
        raise UsageError(f"--output {path}: a folder; give the name of a file")
    if path.exists() and not force:
        raise UsageError(f"--output {path}: exists already; add --force to replace it")


@contextmanager
def prediction_output(path: Path, class_names: Sequence[str]) -> Iterator[_CsvWriter | _ParquetWriter]:
    """Yield a writer for `path`; the file appears when the block ends, and not at all if the block raises.

    Its columns are index, or file for images, label, class_name and one probability per class.
    """
    with written_whole(path) as part, closing(WRITERS[path.suffix.lower()](part, class_names)) as writer:
        yield writer


def _columns(scores: Scores, names: FileNames, class_names: Sequence[str]) -> list[str]:
    columns = ["index" if names is None else "file", "label", "class_name"]
    return columns if scores.probabilities is None else [*columns, *(f"probability_{name}" for name in class_names)]


class _CsvWriter:
    """One line of text per sample; formatting whole lines takes a fifth of the time of DataFrame.to_csv."""

    def __init__(self, part: Path, class_names: Sequence[str]) -> None:
        self._file = part.open("w", encoding="utf-8", newline="")
        self._class_names = class_names
        self._class_cells = [_csv_line([name]) for name in class_names]
        self._n_written = 0

    def write(self, scores: Scores, names: FileNames) -> None:
        """Append the predictions for the next samples; names: the file of each, for images."""
        columns = _columns(scores, names, self._class_names)
        if self._n_written == 0:
            self._file.write(_csv_line(columns) + "\n")
        labels = scores.labels.tolist()
        indices = range(self._n_written, self._n_written + len(labels))
        first = indices if names is None else [_csv_line([name]) for name in names]
        probabilities = [()] * len(labels) if scores.probabilities is None else scores.probabilities.tolist()
        line = "%s,%d,%s" + ",%.9g" * (len(columns) - 3) + "\n"  # nine digits identify a float32 exactly
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

    def write(self, scores: Scores, names: FileNames) -> None:
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
