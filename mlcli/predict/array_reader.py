"""Samples from .npy and .npz files, read in pieces; what is pickled in them is never loaded."""

from __future__ import annotations

import math
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from mlcli.errors import DataError, UsageError
from mlcli.predict.readers import SampleBatch, check_shape, rows_per_batch
from mlcli.predict.sample_checks import check_dtype, check_finite, native
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray


_MOST_FORTRAN_BYTES = 256 * 2**20  # of an array in an archive, which cannot be mapped
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others fail in ways of their own
_N_SHOWN = 12  # array names in a message
_MOST_SHOWN = 400  # characters of what a file says of itself
# What numpy and zipfile raise at files that are something else.
_ERRORS = (
    ValueError, OSError, EOFError, KeyError, TypeError, RuntimeError, SyntaxError, TokenError, OverflowError,
    MemoryError, zipfile.BadZipFile, zlib.error, struct.error,
)  # fmt: skip


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass
class ArrayFile:
    """One array in C order, read from where it lies: a file, or a member of an archive, compressed or not."""

    place: str
    expected: Preprocessing
    open_stream: Callable[[], IO[bytes]]
    n_samples: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SampleBatch]:
        with _read_errors(self.place), self.open_stream() as stream:
            header = _read_header(self.place, stream)
            n_rows = rows_per_batch(self.expected)
            for start in range(0, header.shape[0], n_rows):
                yield self._batch(stream, header, start, min(n_rows, header.shape[0] - start))

    def _batch(self, stream: IO[bytes], header: _Header, start: int, n_rows: int) -> SampleBatch:
        n_values = n_rows * math.prod(header.shape[1:])
        n_bytes = n_values * header.dtype.itemsize
        data = stream.read(n_bytes)
        if len(data) < n_bytes:
            n_whole = start + len(data) * n_rows // n_bytes
            raise DataError(f"{self.place}: ends after {n_whole:,} of {header.shape[0]:,} samples; it was cut off")
        return _checked(self.place, np.frombuffer(data, header.dtype), start, self.expected)


@dataclass
class FortranFile:
    """One array in Fortran order: mapped anew for every batch, so that what was read does not stay in memory."""

    place: str
    expected: Preprocessing
    load: Callable[[], NDArray[Any]]
    n_samples: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SampleBatch]:
        n_rows = rows_per_batch(self.expected)
        for start in range(0, self.n_samples, n_rows):
            with _read_errors(self.place):
                x = np.ascontiguousarray(self.load()[start : start + n_rows])
            yield _checked(self.place, x, start, self.expected)


def open_npy(path: Path, expected: Preprocessing) -> ArrayFile | FortranFile:
    """The array of an .npy file."""

    def open_stream() -> IO[bytes]:
        return path.open("rb")

    header = _checked_header(str(path), open_stream, expected)
    if header.is_fortran:
        if header.n_bytes > path.stat().st_size:
            raise DataError(f"{path}: announces {header.shape[0]:,} samples, and not as many are there; it was cut off")
        return FortranFile(
            str(path), expected, lambda: np.load(path, mmap_mode="r", allow_pickle=False), header.shape[0]
        )
    return ArrayFile(str(path), expected, open_stream, header.shape[0])


def open_npz(path: Path, expected: Preprocessing, array: str | None) -> ArrayFile | FortranFile:
    """One array of an .npz file: the one named, else `x`, else the only one."""
    with _read_errors(str(path)), zipfile.ZipFile(path) as archive:
        compressions = {member.filename.removesuffix(".npy"): member.compress_type for member in archive.infolist()}
    name = _chosen(path, list(compressions), array)
    place = f"{path}: array {name!r}"
    if compressions[name] not in _COMPRESSIONS:
        raise DataError(f"{place}: compressed in a way that numpy does not write; save it with numpy.savez_compressed")

    def open_stream() -> IO[bytes]:
        return zipfile.ZipFile(path).open(f"{name}.npy")

    header = _checked_header(place, open_stream, expected)
    if header.is_fortran:
        _check_fortran_size(place, header)
        with _read_errors(place), np.load(path, allow_pickle=False) as arrays:
            whole = arrays[name]
        return FortranFile(place, expected, lambda: whole, header.shape[0])
    return ArrayFile(place, expected, open_stream, header.shape[0])


def _check_fortran_size(place: str, header: _Header) -> None:
    """DataError for an array that could only be read whole, and is too large, or says that it is."""
    if header.n_bytes > _MOST_FORTRAN_BYTES:
        raise DataError(f"{place}: a large array in Fortran order; save it in C order, or as an .npy file")


def _chosen(path: Path, names: list[str], array: str | None) -> str:
    more = f" and {len(names) - _N_SHOWN} more" if len(names) > _N_SHOWN else ""
    known = escaped(", ".join(names[:_N_SHOWN]) or "none", _MOST_SHOWN) + more
    if array is not None:
        if array not in names:
            raise UsageError(f"--array {array}: {path} has no such array; it has {known}")
        return array
    if "x" in names or len(names) == 1:
        return "x" if "x" in names else names[0]
    raise UsageError(f"{path}: several arrays and none is called x; it has {known}: choose one with --array")


def _checked_header(place: str, open_stream: Callable[[], IO[bytes]], expected: Preprocessing) -> _Header:
    with _read_errors(place), open_stream() as stream:
        header = _read_header(place, stream)
    check_dtype(place, header.dtype)
    check_shape(place, header.shape, expected)
    return header


def _read_header(place: str, stream: IO[bytes]) -> _Header:
    version = npy_format.read_magic(stream)
    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    if version not in readers:
        raise DataError(f"{place}: version {version} of the format, which is for arrays with named fields")
    return _Header(*readers[version](stream))


def _checked(place: str, values: NDArray[Any], start: int, expected: Preprocessing) -> SampleBatch:
    x = native(values).reshape(-1, *expected.input_shape)
    check_finite(place, x, start, expected)
    return SampleBatch(x)


@contextmanager
def _read_errors(place: str) -> Iterator[None]:
    """Log what is wrong with a file in place of the errors that numpy and zipfile raise."""
    try:
        yield
    except _ERRORS as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{place}: not an array file that can be read: {escaped(lines[0], _MOST_SHOWN)}") from error
