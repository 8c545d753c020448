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
from mlcli.predict.samples import SampleBatch, SampleSource, reading
from mlcli.records import Preprocessing
from mlcli.registry import alternatives
from mlcli.text import escaped, listed
from mlcli.untrusted import COMPRESSIONS, ArrayHeader, read_array_header

_MAX_FORTRAN_BYTES = 256 * 2**20  # of an array in an archive, which is read whole
_N_NAMES_SHOWN = 12
# Characters that a message shows of one name, of all names together, and of a type or shape.
_MAX_NAME, _MAX_NAMES, _MAX_SHAPE = 60, 400, 80
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
    """DataError unless the array contains real numbers in a shape that fits the run.

    Python objects, which are pickled, are never loaded.
    """
    dtype, shape, accepted = header.dtype, header.shape, _accepted_shapes(expected)
    if dtype.hasobject:
        raise DataError(f"{location}: contains Python objects, which are never loaded; save plain numbers")
    if dtype.kind not in "buif":
        raise DataError(f"{location}: contains {escaped(str(dtype), _MAX_SHAPE)}, expected numbers")
    if len(shape) < 2 or shape[1:] not in accepted:
        shown = alternatives(f"({', '.join(['n', *map(str, one)])})" for one in accepted)
        advice = "; a single sample needs a first axis of length 1" if shape in accepted else ""
        found = escaped(str(shape), _MAX_SHAPE)
        raise DataError(f"{location}: shape {found} does not fit; expected {shown}{advice}")
    if shape[0] >= 2**63:
        raise DataError(f"{location}: announces more samples than any file can contain")


def _accepted_shapes(expected: Preprocessing) -> list[tuple[int, ...]]:
    """Return the shapes of one sample that are equivalent; the first is the run's."""
    shape = expected.input_shape
    if expected.kind == "table":
        return [shape]
    flat = (math.prod(shape),)
    return [shape, shape[1:], (*shape[1:], 1), flat] if shape[0] == 1 else [shape, flat]


def _location(path: Path, name: str) -> str:
    return f"{path}: array {name[:_MAX_NAME]!r}"


def _chosen_array(path: Path, names: list[str], array: str | None) -> str:
    if array in names:
        return array
    if array is None and ("x" in names or len(names) == 1):
        return "x" if "x" in names else names[0]
    known = escaped(listed(names, _N_NAMES_SHOWN) or "none", _MAX_NAMES)
    if array is None:
        raise UsageError(f"{path}: several arrays, none of them named x; choose one with --array: {known}")
    raise UsageError(f"--array {array}: {path} has no such array; its arrays: {known}")
