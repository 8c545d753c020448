"""Tables in files: CSV and its relatives, plain or gzipped, and Parquet.

A delimited file is UTF-8 text whose first line names the columns; the delimiter is the one of `DELIMITERS` that splits
that line into the most cells. pandas is imported when a file is read.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import warnings
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.data.own.files import location_of
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.registry import TABLE_SUFFIXES, alternatives
from mlcli.text import escaped, first_line, is_number
from mlcli.untrusted import MAX_TABLE_BYTES, open_regular

if TYPE_CHECKING:
    import pandas as pd

DELIMITERS = ",;\t|"
_ENCODING = "utf-8-sig"
_MAX_HEADER_CHARACTERS = 2**20
_MAX_NAME = 100  # characters of the name of a column


@dataclass(frozen=True)
class TableFile:
    """A file with a table.

    missing: texts that stand for a missing value. texts: names of the columns whose cells are kept as text, even if
    all of them are numbers.
    """

    path: Path
    missing: tuple[str, ...]
    texts: tuple[str, ...] = ()

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
        names = self._parquet_names() if self.is_parquet else self._header()[0]
        names = [escaped(name.strip(), _MAX_NAME) or f"column {number}" for number, name in enumerate(names, start=1)]
        repeated = next((name for name, n in Counter(names).items() if n > 1), None)
        if repeated is not None:
            raise DataError(f"{self.location}: column {repeated!r} appears more than once; rename one of them")
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
            advice = "save it as UTF-8, e.g. with: iconv -f latin1 -t utf-8 OLD > NEW"
            raise DataError(f"{self.location}: not UTF-8 text: {error.reason}\n{advice}") from error
        except OSError as error:
            raise DataError(f"{self.location}: cannot be read: {error.strerror or first_line(error)}") from error
        except MemoryError:
            raise
        except Exception as error:  # malformed content makes these libraries raise errors of a dozen types
            raise DataError(f"{self.location}: not a readable table: {first_line(error)}") from error

    def _stream(self) -> io.BufferedReader | io.BytesIO:
        """Return the content, expanded in memory if it is gzipped; ValueError if that is too large."""
        file = open_regular(self.path, MAX_TABLE_BYTES)
        if self.path.suffix.lower() != ".gz":
            return file
        try:
            with file, gzip.open(file) as expanded:
                content = expanded.read(MAX_TABLE_BYTES + 1)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"cannot be decompressed: {first_line(error)}") from error
        if len(content) > MAX_TABLE_BYTES:
            raise ValueError(f"expands to more than {MAX_TABLE_BYTES:,} bytes")
        return io.BytesIO(content)

    def _header(self) -> tuple[list[str], str]:
        """Return the cells of the first line that is not empty, and the delimiter."""
        with self._reading(), self._stream() as stream, io.TextIOWrapper(stream, _ENCODING, newline="") as text:
            while line := text.readline(_MAX_HEADER_CHARACTERS):
                if len(line) == _MAX_HEADER_CHARACTERS:
                    raise ValueError(f"a first line of {_MAX_HEADER_CHARACTERS:,} characters or more")
                if line.strip():
                    return self._split(line)
        raise DataError(f"{self.location}: the file is empty")

    def _split(self, line: str) -> tuple[list[str], str]:
        splits = [(next(csv.reader([line], delimiter=delimiter)), delimiter) for delimiter in DELIMITERS]
        cells, delimiter = max(splits, key=lambda split: len(split[0]))
        if all(map(is_number, cells)):
            raise DataError(f"{self.location}: the first line holds only numbers, and it must name the columns")
        return cells, delimiter

    def _delimited_rows(self, names: Sequence[str], wanted: list[int], n_rows: int | None) -> Iterator[pd.DataFrame]:
        import pandas as pd

        options: dict[str, Any] = {
            "sep": self._header()[1],
            "header": 0,
            "names": list(names),
            "index_col": False,
            "dtype": {name: str for name in self.texts if name in names},
            "na_values": list(self.missing),
            "keep_default_na": False,
            "low_memory": False,
            "encoding": _ENCODING,
        }
        if int(pd.__version__.partition(".")[0]) < 3:
            options["float_precision"] = "round_trip"  # the default of later versions
        with self._reading(), self._stream() as stream, warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            chunks = pd.read_csv(stream, chunksize=n_rows, **options)
            for frame in [chunks] if isinstance(chunks, pd.DataFrame) else chunks:
                if frame.iloc[:, -1].isna().any():  # as pandas fills rows that are too short
                    self._check_lengths(len(names), options["sep"])
                yield frame.iloc[:, wanted]

    def _check_lengths(self, n_cells: int, delimiter: str) -> None:
        """DataError for a row that is shorter than the header."""
        with self._stream() as stream, io.TextIOWrapper(stream, _ENCODING, newline="") as text:
            reader = csv.reader(text, delimiter=delimiter)
            for row in reader:
                if row and len(row) < n_cells:
                    raise DataError(
                        f"{self.location}:{reader.line_num}: {len(row)} cells, and the header has {n_cells} columns"
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
                for name in frame.select_dtypes(include=["object", "string", "category"]).columns:
                    texts = frame[name].astype(object).map(str, na_action="ignore")
                    frame[name] = texts.mask(texts.isin(self.missing))
                yield frame
