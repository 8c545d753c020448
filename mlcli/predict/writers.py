"""Predictions as a file: written as they come, in place under its name only when they are all there."""

from __future__ import annotations

import csv
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib import format as npy_format

from mlcli.errors import MlcliError, UsageError
from mlcli.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

Names = tuple[str, ...] | None


class PredictionWriter(Protocol):
    """Takes batches in order; `finish` writes what can be written only at the end."""

    def write(self, scores: Scores, names: Names) -> None:
        """Labels and probabilities of the next samples, with their file names where they have any."""
        ...

    def finish(self) -> None:
        """Everything has been written."""
        ...


def check_output(path: Path, *, force: bool) -> None:
    """UsageError for a kind of file that cannot be written, and for one that is there already, unless forced."""
    if path.suffix.lower() not in _WRITERS:
        raise UsageError(f"--output {path}: cannot be written; use {', '.join(_WRITERS)}")
    if path.suffix.lower() == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"--output {path}: .parquet needs pyarrow, which is not installed\npip install 'mlcli[parquet]'"
        )
    if path.is_dir():
        raise UsageError(f"--output {path}: a directory; name a file")
    if path.exists() and not force:
        raise UsageError(f"--output {path}: there is such a file already; replace it with --force")


@contextmanager
def prediction_output(path: Path, class_names: Sequence[str]) -> Iterator[PredictionWriter]:
    """A writer for `path`; the file appears whole when the block ends, and not at all when it ends in an error."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file, ExitStack() as stack:
            target = _Target(file, path.parent, stack)
            writer = _WRITERS[path.suffix.lower()](target, class_names)
            yield writer
            writer.finish()
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise MlcliError(f"--output {path}: cannot be written: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True)
class _Target:
    """The file to write, and what is to be closed before it however the writing ends."""

    file: IO[bytes]
    folder: Path
    closing: ExitStack

    def new_scratch(self) -> IO[bytes]:
        """An unnamed file beside the target, for what must wait until the end."""
        return self.closing.enter_context(tempfile.TemporaryFile(dir=self.folder))


class _CsvWriter:
    """index or file, label, class_name, and a probability a class."""

    def __init__(self, target: _Target, class_names: Sequence[str]) -> None:
        self._file = target.file
        self._class_names = class_names
        self._quoted = [_csv_line([name]).rstrip("\n") for name in class_names]
        self._n_written = 0

    def write(self, scores: Scores, names: Names) -> None:
        if self._n_written == 0:
            self._file.write(_csv_line(_columns(names, scores, self._class_names)).encode())
        labels = scores.labels.tolist()
        first = self._first_column(names, len(labels))
        quoted = self._quoted
        if scores.probabilities is None:
            lines = [f"{a},{label},{quoted[label]}\n" for a, label in zip(first, labels, strict=True)]
        else:
            # Nine significant digits bring a float32 back exactly.
            shares = "%s,%d,%s" + ",%.9g" * len(quoted) + "\n"
            rows = zip(first, labels, scores.probabilities.tolist(), strict=True)
            lines = [shares % (a, label, quoted[label], *row) for a, label, row in rows]
        self._file.write("".join(lines).encode())
        self._n_written += len(labels)

    def _first_column(self, names: Names, n: int) -> Sequence[object]:
        if names is None:
            return range(self._n_written, self._n_written + n)
        return [_csv_line([name]).rstrip("\n") for name in names]

    def finish(self) -> None:
        return None


def _csv_line(cells: Sequence[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


def _columns(names: Names, scores: Scores, class_names: Sequence[str]) -> list[str]:
    columns = ["index" if names is None else "file", "label", "class_name"]
    return columns if scores.probabilities is None else [*columns, *(f"probability_{name}" for name in class_names)]


class _ParquetWriter:
    """The columns of the .csv file."""

    def __init__(self, target: _Target, class_names: Sequence[str]) -> None:
        self._target = target
        self._class_names = class_names
        self._n_written = 0
        self._writer: Any = None

    def write(self, scores: Scores, names: Names) -> None:
        import pyarrow as pa
        import pyarrow.parquet

        labels = scores.labels
        first = np.arange(self._n_written, self._n_written + len(labels)) if names is None else list(names)
        arrays: list[Any] = [first, labels, np.array(self._class_names)[labels]]
        if scores.probabilities is not None:
            arrays += list(np.ascontiguousarray(scores.probabilities.T))
        table = pa.table(dict(zip(_columns(names, scores, self._class_names), map(pa.array, arrays), strict=True)))
        if self._writer is None:
            self._writer = pyarrow.parquet.ParquetWriter(self._target.file, table.schema)
            self._target.closing.callback(self._writer.close)
        self._writer.write_table(table)
        self._n_written += len(labels)

    def finish(self) -> None:
        if self._writer is not None:
            self._writer.close()


class _Spool:
    """Rows that are kept aside until their number is known."""

    def __init__(self, scratch: IO[bytes]) -> None:
        self._file = scratch
        self._shape: tuple[int, ...] = (0,)
        self._dtype = np.dtype(np.int64)

    def append(self, rows: NDArray[Any]) -> None:
        self._shape = (self._shape[0] + len(rows), *rows.shape[1:])
        self._dtype = rows.dtype
        self._file.write(np.ascontiguousarray(rows).data)

    def copy_as_npy(self, target: IO[bytes]) -> None:
        header = {"descr": npy_format.dtype_to_descr(self._dtype), "fortran_order": False, "shape": self._shape}
        npy_format.write_array_header_1_0(target, header)
        self._file.seek(0)
        shutil.copyfileobj(self._file, target)


class _NpyWriter:
    """The labels alone, int64 (n,)."""

    def __init__(self, target: _Target, class_names: Sequence[str]) -> None:
        self._file = target.file
        self._labels = _Spool(target.new_scratch())

    def write(self, scores: Scores, names: Names) -> None:
        self._labels.append(scores.labels)

    def finish(self) -> None:
        self._labels.copy_as_npy(self._file)


class _NpzWriter:
    """labels int64 (n,), probabilities float32 (n, classes) where there are any, class_names, and files for images."""

    def __init__(self, target: _Target, class_names: Sequence[str]) -> None:
        self._file = target.file
        self._target = target
        self._class_names = class_names
        self._spools: dict[str, _Spool] = {}
        self._names: list[str] = []

    def write(self, scores: Scores, names: Names) -> None:
        self._spool("labels").append(scores.labels)
        if scores.probabilities is not None:
            self._spool("probabilities").append(scores.probabilities)
        self._names += names or ()

    def _spool(self, name: str) -> _Spool:
        if name not in self._spools:
            self._spools[name] = _Spool(self._target.new_scratch())
        return self._spools[name]

    def finish(self) -> None:
        texts = {"class_names": self._class_names} | ({"files": self._names} if self._names else {})
        with zipfile.ZipFile(self._file, "w", zipfile.ZIP_STORED) as archive:
            for name, spool in self._spools.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    spool.copy_as_npy(member)
            for name, words in texts.items():
                with archive.open(f"{name}.npy", "w") as member:
                    npy_format.write_array(member, np.array(words), allow_pickle=False)


_WRITERS: dict[str, Callable[[_Target, Sequence[str]], PredictionWriter]] = {
    ".csv": _CsvWriter,
    ".npz": _NpzWriter,
    ".npy": _NpyWriter,
    ".parquet": _ParquetWriter,
}
