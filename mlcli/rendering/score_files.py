"""Files with one row per scored sample, in CSV, Parquet or JSON, written batch by batch."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Union

from mlcli.errors import UsageError
from mlcli.files import refuse_existing, written_whole
from mlcli.registry import alternatives
from mlcli.rendering import SCORE_SUFFIXES

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Texts, None where one is missing; or integers or floating-point numbers (n,).
Column = Union[Sequence[str | None], "NDArray[Any]"]
_SPECIAL = re.compile('[,"\r\n]')  # characters for which CSV needs quotes
_FLOATS = {"float32": "%.9g", "float64": "%.17g"}  # digits that identify a number exactly


class ScoreWriter(Protocol):
    """Appends rows to a file."""

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the rows of a batch; every batch has the same columns."""

    def close(self) -> None:
        """Complete the file."""


def require_pyarrow(path: Path) -> None:
    """UsageError, with the command that installs it, if pyarrow is missing."""
    if find_spec("pyarrow") is None:
        raise UsageError(f"{path}: .parquet needs pyarrow, which is not installed\npip install 'mlcli[parquet]'")


def check_output(path: Path, *, force: bool) -> None:
    """UsageError for a kind of file that cannot be written, and for an existing file unless `force` is set."""
    if path.suffix.lower() not in SCORE_SUFFIXES:
        raise UsageError(f"--output {path}: cannot write this kind of file; use {alternatives(SCORE_SUFFIXES)}")
    if path.suffix.lower() == ".parquet":
        require_pyarrow(path)
    refuse_existing(path, force=force)


@contextmanager
def score_file(path: Path) -> Iterator[ScoreWriter]:
    """Yield a writer for `path`; the file appears when the block ends, and not at all if the block raises.

    Its format follows the suffix, one of SCORE_SUFFIXES.
    """
    with written_whole(path) as part, closing(_WRITERS[path.suffix.lower()](part)) as writer:
        yield writer


def class_columns(prefix: str, values: NDArray[Any] | None, class_names: Sequence[str]) -> dict[str, Column]:
    """Return a column `<prefix>_<class>` for each class. values: (n, classes); None for a model that has none."""
    if values is None:
        return {}
    return {f"{prefix}_{name}": values[:, index] for index, name in enumerate(class_names)}


class _CsvWriter:
    """A header and a line per sample; formatting whole lines takes a fifth of the time of DataFrame.to_csv."""

    def __init__(self, part: Path) -> None:
        self._file = part.open("w", encoding="utf-8", newline="")
        self._has_header = False

    def write(self, columns: Mapping[str, Column]) -> None:
        if not self._has_header:
            self._file.write(_csv_line(columns) + "\n")
            self._has_header = True
        cells, formats = zip(*map(_csv_cells, columns.values()), strict=True)
        line = ",".join(formats) + "\n"
        self._file.write("".join([line % row for row in zip(*cells, strict=True)]))

    def close(self) -> None:
        self._file.close()


def _csv_cells(column: Column) -> tuple[Sequence[object], str]:
    """Return the cells of a column and the format of each."""
    if isinstance(column, Sequence):
        return [text if text and not _SPECIAL.search(text) else _csv_line([text]) for text in column], "%s"
    return column.tolist(), _FLOATS.get(column.dtype.name, "%d")


def _csv_line(cells: Iterable[str | None]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(cells)  # so that texts with either character are quoted
    return text.getvalue().removesuffix("\r\n")


class _JsonWriter:
    """One document, `{"schema_version": 1, "rows": [...]}`, with a row per line. NaN and infinities become null."""

    def __init__(self, part: Path) -> None:
        self._file = part.open("w", encoding="utf-8", newline="")
        self._file.write('{"schema_version": 1, "rows": [')
        self._separator = "\n"

    def write(self, columns: Mapping[str, Column]) -> None:
        rows = zip(*map(_json_values, columns.values()), strict=True)
        lines = [json.dumps(dict(zip(columns, row, strict=True)), allow_nan=False) for row in rows]
        self._file.write(self._separator + ",\n".join(lines))
        self._separator = ",\n"

    def close(self) -> None:
        self._file.write("\n]}\n")
        self._file.close()


def _json_values(column: Column) -> Sequence[object]:
    if isinstance(column, Sequence):
        return column
    values: list[Any] = column.tolist()
    if column.dtype.kind != "f":
        return values
    text = _FLOATS[column.dtype.name]
    return [float(text % value) if math.isfinite(value) else None for value in values]


class _ParquetWriter:
    """The columns and types of a table."""

    def __init__(self, part: Path) -> None:
        self._file = part.open("wb")
        self._writer: Any = None  # made for the columns of the first batch

    def write(self, columns: Mapping[str, Column]) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        types = self._writer.schema.types if self._writer else [None] * len(columns)
        arrays = [_arrow_array(column, kind) for column, kind in zip(columns.values(), types, strict=True)]
        table = pa.table(arrays, names=list(columns))
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        self._file.close()


def _arrow_array(column: Column, kind: Any) -> Any:
    """Return a column in the type that it had in the first batch; None: of its own. Integers may lack some, as NaN."""
    import pyarrow as pa

    if isinstance(column, Sequence):
        return pa.array(column, pa.string())
    return pa.array(column.copy(), kind, from_pandas=kind is not None and pa.types.is_integer(kind))


_WRITERS: dict[str, Callable[[Path], ScoreWriter]] = dict(
    zip(SCORE_SUFFIXES, (_CsvWriter, _ParquetWriter, _JsonWriter), strict=True)
)
