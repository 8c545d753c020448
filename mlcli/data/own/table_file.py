"""Tables in files: CSV and its relatives, plain or gzipped, and Parquet.

A delimited file is UTF-8 text; the delimiter is the one of `DELIMITERS` that splits its first line into the most cells.
This line names the columns, or they are numbered. pandas is imported when a file is read.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import math
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.data.own.damaged_rows import N_LISTED, GoodRows, bad_rows, described, written_rows
from mlcli.data.own.files import location_of
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.registry import TABLE_SUFFIXES, alternatives
from mlcli.text import escaped, first_line, is_number
from mlcli.untrusted import MAX_EXPANSION, MAX_TABLE_BYTES, open_regular

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ",;\t|"
NO_HEADER = "if the first line does not name the columns, set dataset.header to false (--set dataset.header=false)"
_ENCODING = "utf-8-sig"
_MAX_HEADER_CHARACTERS = 2**20
_ROWS_AT_ONCE = 2**14
_MAX_NAME = 100  # characters of the name of a column


@contextmanager
def located(file: TableFile) -> Iterator[None]:
    """Begin the message of a DataError with the location of a file, if it does not name it already."""
    try:
        yield
    except DataError as error:
        if file.location in str(error):
            raise
        raise DataError(f"{file.location}: {error}") from error


class _Expanded(io.RawIOBase):
    """The content of a gzipped file, of which ValueError is raised for damage and beyond a limit of bytes."""

    def __init__(self, file: io.BufferedReader, limit: int | None) -> None:
        self._file, self._limit = file, limit
        self._expanded = gzip.GzipFile(fileobj=file)
        self._n_read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            content = self._expanded.read(len(buffer))
        except (EOFError, zlib.error) as error:
            raise ValueError(f"cannot be decompressed: {first_line(error)}") from error
        buffer[: len(content)] = content
        self._n_read += len(content)
        if self._limit is not None and self._n_read > self._limit:
            raise ValueError(f"expands to more than {self._limit:,} bytes")
        return len(content)

    def fileno(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()
        super().close()


@dataclass(frozen=True)
class TableFile:
    """A file with a table.

    missing: texts that stand for a missing value. texts: names of the columns whose cells are kept as text, even if
    all of them are numbers. verbatim: of those whose cells are kept as they are written, in which no text stands for a
    missing value; `values_of` returns what they are otherwise. has_header: whether the first line of delimited text
    names the columns. skips_bad: leave out rows with more or fewer cells than the first line. is_trusted: whether a
    gzipped file may expand to any size.
    """

    path: Path
    missing: tuple[str, ...]
    texts: tuple[str, ...] = ()
    has_header: bool = True
    verbatim: tuple[str, ...] = ()
    skips_bad: bool = False
    is_trusted: bool = False
    bad_lines: list[int] = field(default_factory=list, compare=False)  # those left out by the last reading
    _read: list[float] = field(default_factory=lambda: [0.0], compare=False)

    @property
    def fraction_read(self) -> float:
        """How much of the file was read so far, 0 to 1."""
        return self._read[0]

    @property
    def location(self) -> str:
        """The path as messages show it: relative to the working directory if it is below that."""
        return location_of(self.path)

    @property
    def is_parquet(self) -> bool:
        return self.path.suffix.lower() == ".parquet"

    def check(self) -> None:
        """UsageError for a kind of file that cannot be read, or that needs a missing package."""
        if not self.path.name.lower().endswith(TABLE_SUFFIXES):
            raise UsageError(f"{self.location}: cannot read this kind of file; use {alternatives(TABLE_SUFFIXES)}")
        if self.is_parquet and find_spec("pyarrow") is None:
            raise UsageError(
                f"{self.location}: .parquet needs pyarrow, which is not installed\npip install 'mlcli[parquet]'"
            )

    def column_names(self) -> tuple[str, ...]:
        """Return the names of all columns, safe to print; DataError if two are equal."""
        names = self._parquet_names() if self.is_parquet else self.first_line()[0]
        if not (self.has_header or self.is_parquet):
            return tuple(f"column {number}" for number in range(1, len(names) + 1))
        names = [escaped(name.strip(), _MAX_NAME) or f"column {number}" for number, name in enumerate(names, start=1)]
        repeated = next((name for name, n in Counter(names).items() if n > 1), None)
        if repeated is not None:
            advice = "" if self.is_parquet else f"\n{NO_HEADER}"
            raise DataError(f"{self.location}: column {repeated!r} appears more than once; rename one of them{advice}")
        return tuple(names)

    def digest(self) -> str:
        """Return the sha256 (hex) of the content, of a gzipped file that of what it expands to."""
        with self._reading(), self._stream() as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def read(self, columns: Collection[str], n_rows: int | None = None) -> Iterator[pd.DataFrame]:
        """Yield the rows of some columns, in their order in the file, in frames of at most n_rows; None: all at once.

        DataError for content that is not a table.
        """
        self.check()
        names = self.column_names()
        wanted = [index for index, name in enumerate(names) if name in columns]
        yield from (self._parquet_rows if self.is_parquet else self._delimited_rows)(names, wanted, n_rows)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Raise DataError in place of what pandas, pyarrow, csv, gzip and the system raise."""
        try:
            yield
        except MlcliError:
            raise
        except FileNotFoundError:
            raise DataError(f"{self.location}: no such file") from None
        except UnicodeDecodeError as error:
            is_utf16 = error.object[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
            advice = f"save it as UTF-8, e.g. with: iconv -f {'utf-16' if is_utf16 else 'latin1'} -t utf-8 OLD > NEW"
            raise DataError(f"{self.location}: not UTF-8 text: {error.reason}\n{advice}") from error
        except OSError as error:
            raise DataError(f"{self.location}: cannot be read: {error.strerror or first_line(error)}") from error
        except MemoryError:
            raise
        except Exception as error:  # malformed content makes these libraries raise errors of a dozen types
            raise DataError(f"{self.location}: not a readable table: {first_line(error)}") from error

    def _stream(self) -> io.BufferedReader:
        """Return the content, expanded if it is gzipped; ValueError, also later, if that is too large."""
        file = open_regular(self.path)
        if self.path.suffix.lower() != ".gz":
            return file
        limit = None if self.is_trusted else max(MAX_TABLE_BYTES, MAX_EXPANSION * os.fstat(file.fileno()).st_size)
        return io.BufferedReader(_Expanded(file, limit))

    def first_line(self) -> tuple[list[str], str]:
        """Return the cells of the first line that is not empty, and the delimiter."""
        with self._reading(), self._stream() as stream, io.TextIOWrapper(stream, _ENCODING, newline="") as text:
            while line := text.readline(_MAX_HEADER_CHARACTERS):
                if len(line) == _MAX_HEADER_CHARACTERS:
                    raise ValueError(f"a first line of {_MAX_HEADER_CHARACTERS:,} characters or more")
                if line.strip():
                    splits = [(next(csv.reader([line], delimiter=delimiter)), delimiter) for delimiter in DELIMITERS]
                    return max(splits, key=lambda split: len(split[0]))
        raise DataError(f"{self.location}: the file is empty")

    def first_number(self) -> str | None:
        """Return the first number in the first line of delimited text, as written; None if there is none."""
        cells = () if self.is_parquet else self.first_line()[0]
        numbers = (cell.strip() for cell in cells if is_number(cell) and math.isfinite(float(cell)))
        return next((escaped(number, _MAX_NAME) for number in numbers), None)

    def read_whole(self, columns: Sequence[str]) -> Iterator[pd.Series[Any]]:
        """Yield some columns, each with the types that pandas gives it if it reads all rows at once."""
        if not columns:
            return
        if self.is_parquet:
            import pandas as pd

            whole = pd.concat(self.read(columns))
            yield from (whole[name] for name in columns)
            return
        with ExitStack() as stack:
            files = {name: stack.enter_context(TemporaryFile("w+", newline="", encoding="utf-8")) for name in columns}
            writers = {name: csv.writer(file, quoting=csv.QUOTE_ALL) for name, file in files.items()}
            as_they_are = {"dtype": str, "na_filter": False}
            for frame in self._delimited_rows(self.column_names(), None, _ROWS_AT_ONCE, **as_they_are):
                for name, writer in writers.items():
                    writer.writerows([text] for text in frame[name])
            for name, file in files.items():
                file.seek(0)
                yield self._typed(file, name)

    def values_of(self, cells: pd.Series[Any]) -> pd.Series[Any]:
        """Return the values of a verbatim column, or of some of its rows, as they are read if it is not verbatim."""
        if self.is_parquet:
            return self._plain(cells, self.missing)
        codes, found = cells.factorize()
        text = io.StringIO(newline="")
        csv.writer(text, quoting=csv.QUOTE_ALL).writerows([cell] for cell in found)
        text.seek(0)
        return self._typed(text, str(cells.name)).take(codes).set_axis(cells.index)

    def _typed(self, file: Any, name: str) -> pd.Series[Any]:
        """Return the quoted cells of a column with the type that pandas gives them."""
        import pandas as pd

        options = replace(self, verbatim=())._options([name], ",") | {"header": None, "encoding": "utf-8"}
        values: pd.Series[Any] = pd.read_csv(file, **options)[name]
        return values

    def _options(self, names: Sequence[str], delimiter: str) -> dict[str, Any]:
        import pandas as pd

        options: dict[str, Any] = {
            "sep": delimiter,
            "header": 0 if self.has_header else None,
            "names": list(names),
            "index_col": False,
            "dtype": {name: str for name in (*self.texts, *self.verbatim) if name in names},
            "na_values": list(self.missing),
            "keep_default_na": False,
            "low_memory": False,
            "encoding": _ENCODING,
        }
        if self.verbatim:
            options["na_values"] = {name: [] if name in self.verbatim else list(self.missing) for name in names}
        if int(pd.__version__.partition(".")[0]) < 3:
            options["float_precision"] = "round_trip"  # the default of later versions
        return options

    def _delimited_rows(
        self, names: Sequence[str], wanted: list[int] | None, n_rows: int | None, **changes: Any
    ) -> Iterator[pd.DataFrame]:
        import pandas as pd

        delimiter = self.first_line()[1]
        are_checked = self.skips_bad
        self.bad_lines.clear()
        with self._reading(), self._stream() as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            n_bytes = max(1, os.fstat(stream.fileno()).st_size)
            content: Any = stream
            if self.skips_bad:
                text = io.TextIOWrapper(stream, _ENCODING, newline="")
                content = GoodRows(written_rows(text, delimiter), len(names), self.bad_lines)
            try:
                chunks = pd.read_csv(content, chunksize=n_rows, **self._options(names, delimiter) | changes)
                for frame in [chunks] if isinstance(chunks, pd.DataFrame) else chunks:
                    last = frame.iloc[:, -1]  # in which pandas fills rows that are too short
                    if not are_checked and ((last == "").any() if last.name in self.verbatim else last.isna().any()):
                        self._check_lengths(len(names), delimiter)
                        are_checked = True
                    self._read[0] = os.lseek(stream.fileno(), 0, os.SEEK_CUR) / n_bytes
                    yield frame if wanted is None else frame.iloc[:, wanted]
            except (pd.errors.ParserError, pd.errors.ParserWarning):
                self._check_lengths(len(names), delimiter)
                raise

    def _check_lengths(self, n_cells: int, delimiter: str) -> None:
        """DataError for rows that are shorter or longer than the first line."""
        with self._stream() as stream, io.TextIOWrapper(stream, _ENCODING, newline="") as text:
            bad = list(bad_rows(written_rows(text, delimiter), n_cells))
        if bad:
            advice = "correct them, or leave them out with --on-bad skip" if self.is_trusted else "correct them"
            found = described(len(bad), [f"line {row.line}" for row in bad[:N_LISTED]])
            raise DataError(
                f"{self.location}:{bad[0].line}: {bad[0].n_cells} cell{'s'[: bad[0].n_cells != 1]}, "
                f"and the first line has {n_cells}\n"
                f"{found}\n{advice}"
            )

    def _parquet_names(self) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet

        with self._reading(), self._stream(), pa.parquet.ParquetFile(pa.OSFile(os.fsencode(self.path))) as file:
            return list(file.schema_arrow.names)

    def _parquet_rows(self, names: Sequence[str], wanted: list[int], n_rows: int | None) -> Iterator[pd.DataFrame]:
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet

        n_read = 0
        with self._reading(), pa.parquet.ParquetFile(pa.OSFile(os.fsencode(self.path))) as file:
            for batch in file.iter_batches(batch_size=n_rows or max(1, file.metadata.num_rows)):
                frame = batch.to_pandas()
                frame.columns = list(names)
                frame = frame.iloc[:, wanted].set_index(pd.RangeIndex(n_read, n_read + len(frame)))
                n_read += len(frame)
                for name in frame.columns:
                    frame[name] = self._plain(frame[name], () if name in self.verbatim else self.missing)
                self._read[0] = n_read / max(1, file.metadata.num_rows)
                yield frame

    @staticmethod
    def _plain(values: pd.Series[Any], missing: Sequence[str]) -> pd.Series[Any]:
        """Return values of a Parquet file as those of a text file: numbers, booleans or texts."""
        dtype: Any = values.dtype
        if isinstance(dtype, np.dtype) and dtype.kind != "O":
            return values
        kind = getattr(dtype, "kind", "O")
        if kind in "iuf":  # numbers that can be missing
            has_missing = bool(values.isna().any())
            return values.astype(np.float64 if has_missing else dtype.numpy_dtype)
        if kind == "b":
            return values.astype(object).where(values.notna(), None)
        texts = values.astype(object).map(str, na_action="ignore")
        return texts.mask(texts.isin(missing))
