"""Samples from .npy and .npz files; nothing pickled in them is ever loaded."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from mlcli.errors import DataError, UsageError
from mlcli.predict.samples import SampleBatch, SampleSource, check_dtype, check_shape, reading
from mlcli.records import Preprocessing
from mlcli.text import escaped
from mlcli.untrusted import COMPRESSIONS, ArrayHeader, read_array_header

_MAX_FORTRAN_BYTES = 256 * 2**20  # of an array in an archive, which is read whole
_N_NAMES_SHOWN = 12
_MAX_NAME = 60  # characters
_MAX_NAMES = 400  # characters of all names together
_KIND = "a readable array file"


def open_npy(path: Path, expected: Preprocessing) -> SampleSource:
    """Return the samples of an .npy file; DataError unless it contains an array of the run's shape."""
    location = str(path)
    with reading(location, _KIND), path.open("rb") as file:
        header = read_array_header(file)
        n_bytes = os.fstat(file.fileno()).st_size - file.tell()
    _check_header(location, header, expected)
    if header.n_bytes > n_bytes:
        n_whole = n_bytes * header.shape[0] // header.n_bytes
        raise DataError(f"{location}: truncated; announces {header.shape[0]:,} samples but contains {n_whole:,}")
    return SampleSource(location, expected, partial(_mapped_rows, path, header.shape[0]), header.shape[0])


def _mapped_rows(path: Path, n_samples: int, n_rows: int) -> Iterator[SampleBatch]:
    """Yield copies of the rows, from a new mapping each time: pages that were read count as memory of their mapping."""
    with reading(str(path), _KIND):
        for start in range(0, n_samples, n_rows):
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            yield SampleBatch(np.array(array[start : start + n_rows], order="C"))


def open_npz(path: Path, expected: Preprocessing, array: str | None = None) -> SampleSource:
    """Return the samples in one array of an .npz file: the one named, else `x`, else the only one.

    UsageError for a name that the file lacks, and without a name if it is needed. DataError unless the array has the
    run's shape and can be read in bounded memory.
    """
    with reading(str(path), _KIND), zipfile.ZipFile(path) as archive:
        compressions = {member.filename.removesuffix(".npy"): member.compress_type for member in archive.infolist()}
    name = _chosen_array(path, list(compressions), array)
    location = _location(path, name)
    if compressions[name] not in COMPRESSIONS:
        raise DataError(f"{location}: a compression that numpy does not write; save it with numpy.savez_compressed")
    with reading(location, _KIND), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        header = read_array_header(stream)
    _check_header(location, header, expected)
    if header.is_fortran and header.n_bytes > _MAX_FORTRAN_BYTES:
        raise DataError(f"{location}: a large array in Fortran order; save it in C order, or as an .npy file")
    rows = _loaded_rows if header.is_fortran else _streamed_rows
    return SampleSource(location, expected, partial(rows, path, name), header.shape[0])


def _streamed_rows(path: Path, name: str, n_rows: int) -> Iterator[SampleBatch]:
    """Yield rows of an array in C order as they are decompressed; the last incomplete row of a cut stream is lost."""
    location = _location(path, name)
    with reading(location, _KIND), zipfile.ZipFile(path) as archive, archive.open(f"{name}.npy") as stream:
        header = read_array_header(stream)
        n_values = math.prod(header.shape[1:])
        n_bytes = n_values * header.dtype.itemsize
        for start in range(0, header.shape[0], n_rows):
            data = stream.read(min(n_rows, header.shape[0] - start) * n_bytes)
            n_complete = len(data) // n_bytes
            if n_complete == 0:
                return
            values = np.frombuffer(data, header.dtype, n_complete * n_values)
            yield SampleBatch(values.reshape(n_complete, *header.shape[1:]))


def _loaded_rows(path: Path, name: str, n_rows: int) -> Iterator[SampleBatch]:
    with reading(_location(path, name), _KIND), np.load(path, allow_pickle=False) as arrays:
        array = arrays[name]
        for start in range(0, len(array), n_rows):
            yield SampleBatch(array[start : start + n_rows])


def _check_header(location: str, header: ArrayHeader, expected: Preprocessing) -> None:
    check_dtype(location, header.dtype)
    check_shape(location, header.shape, expected)


def _location(path: Path, name: str) -> str:
    return f"{path}: array {name[:_MAX_NAME]!r}"


def _chosen_array(path: Path, names: list[str], array: str | None) -> str:
    more = f" and {len(names) - _N_NAMES_SHOWN} more" if len(names) > _N_NAMES_SHOWN else ""
    known = escaped(", ".join(names[:_N_NAMES_SHOWN]) or "none", _MAX_NAMES) + more
    if array is not None:
        if array not in names:
            raise UsageError(f"--array {array}: {path} has no such array; its arrays: {known}")
        return array
    if "x" in names or len(names) == 1:
        return "x" if "x" in names else names[0]
    raise UsageError(f"{path}: several arrays, none of them named x; choose one with --array: {known}")
