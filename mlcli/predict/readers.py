"""Samples from a file of any supported kind, or from a folder of images."""

from __future__ import annotations

import math
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.image_file import IMAGE_SUFFIXES, BadImageError, DecodedImage, without_remarks
from mlcli.errors import DataError, UsageError
from mlcli.predict.encoded_tables import open_encoded_table
from mlcli.predict.kept_columns import with_kept_columns
from mlcli.predict.samples import SampleBatch, SampleSource, reading
from mlcli.predict.tables import open_csv, open_parquet
from mlcli.records import Preprocessing
from mlcli.registry import alternatives
from mlcli.text import escaped, listed
from mlcli.untrusted import COMPRESSIONS, ArrayHeader, read_array_header

_WHITE = 255.0  # the largest grey level of an image file


def open_samples(
    path: Path, expected: Preprocessing, *, array: str | None = None, keep: Sequence[str] = ()
) -> SampleSource:
    """Return the samples of a file, or of a folder of images.

    array: the name of an array in an .npz file; None for `x` or the only one. keep: columns of a table that the batches
    carry. UsageError for a kind of file that cannot be read, DataError for a file that is missing or does not contain
    samples of the run's shape.
    """
    if not keep:
        return _opened(path, expected, array, ())
    if not expected.feature_names or _is_folder(path):
        raise UsageError(f"--keep {keep[0]}: {path} is not a table whose columns have names")
    source = _opened(path, expected, array, keep)
    is_encoded = expected.encoding is not None and array is None
    return source if is_encoded else with_kept_columns(source, path, keep)


def _opened(path: Path, expected: Preprocessing, array: str | None, keep: Sequence[str]) -> SampleSource:
    is_folder = _is_folder(path)
    suffix = path.suffix.lower()
    if expected.encoding is not None and array is None and not is_folder:
        return open_encoded_table(path, expected, expected.encoding, keep)
    if array is not None and suffix != ".npz":
        raise UsageError(f"--array {array}: {path} is not an .npz file")
    if is_folder or suffix in IMAGE_SUFFIXES:
        source = _open_images(path, expected)
    elif suffix in _TABLE_READERS:
        source = _TABLE_READERS[suffix](path, expected, keep)
    elif suffix in READERS:
        source = open_npz(path, expected, array) if array is not None else READERS[suffix](path, expected)
    else:
        known = f"{', '.join(READERS)}, an image or a folder of images"
        raise UsageError(f"{path}: cannot read this kind of file; use {known}")
    if source.n_samples == 0:
        raise DataError(f"{path}: contains no samples")
    return source


def _is_folder(path: Path) -> bool:
    """DataError for anything but a file or folder: a pipe or a device could block the reader for ever."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{escaped(str(path))}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path}: a pipe or a device, expected a file or folder")
    return stat.S_ISDIR(mode)


def _open_images(path: Path, expected: Preprocessing) -> SampleSource:
    """Return an image file, or the images directly in a folder in order of their names; DataError if there are none.

    Grey levels are scaled from 0 to 255 to the value range of the run.
    """
    if expected.kind == "image" and expected.input_shape[0] not in (1, 3):
        raise DataError(f"{path}: the run expects {expected.input_shape[0]} channels, which image files do not have")
    if expected.kind != "image":
        columns = ", ".join(expected.feature_names)
        raise DataError(f"{path}: the run expects tables ({columns}), not images; use a .csv file")
    with reading(str(path), "a readable folder"):
        files = sorted(filter(os.path.isfile, path.iterdir())) if path.is_dir() else [path]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f"{path}: no image directly in this folder; expected {', '.join(IMAGE_SUFFIXES)}")
    white = expected.value_range[1] if expected.value_range else _WHITE
    notes = []
    if len(images) < len(files):
        notes.append(f"skipped {len(files) - len(images)} of {len(files)} files in {path}, which are not images")
    if white != _WHITE:
        notes.append(f"grey levels 0 to 255 were scaled to 0 to {white:g}, the value range of the run")

    def read(n_rows: int) -> Iterator[SampleBatch]:
        for start in range(0, len(images), n_rows):
            paths = images[start : start + n_rows]
            with without_remarks():
                x: NDArray[Any] = np.stack([_pixels(path, expected) for path in paths])
            if white != _WHITE:
                x = x.astype(np.float32) * np.float32(white / _WHITE)
            yield SampleBatch(x, tuple(escaped(path.name) for path in paths))

    return SampleSource(str(path), expected, read, len(images), tuple(notes))


def _pixels(path: Path, expected: Preprocessing) -> NDArray[np.uint8]:
    """Return the pixels of an image, uint8 (channels, height, width), decoded as the images that a run was trained on.

    Unless these were resized, the size must be right, which is checked before anything is decoded.
    """
    channels, height, width = expected.input_shape
    location = escaped(str(path))
    try:
        if expected.decoding is None:
            _check_image(location, DecodedImage(path, header_only=True), (height, width))
        return DecodedImage(path).pixels(channels, (height, width))
    except BadImageError as error:
        raise DataError(f"{location}: not a readable image: {error}") from error


def _check_image(location: str, image: DecodedImage, size: tuple[int, int]) -> None:
    """DataError for an image of another size than (height, width), or with pixels of 16 bits."""
    if image.size != size:
        raise DataError(f"{location}: {image.size[1]}x{image.size[0]} pixels, expected {size[1]}x{size[0]}")
    if image.is_deep:
        raise DataError(f"{location}: pixels of mode {image.mode}, expected 8-bit grey levels or colours")


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
    """Return the shapes of one sample that are equivalent, channels last included; the first is the run's."""
    shape = expected.input_shape
    if expected.kind == "table":
        return [shape]
    flat = (math.prod(shape),)
    return [shape, shape[1:], (*shape[1:], 1), flat] if shape[0] == 1 else [shape, (*shape[1:], shape[0]), flat]


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


_TABLE_READERS = {".csv": open_csv, ".parquet": open_parquet}
READERS = {".npy": open_npy, ".npz": open_npz, **_TABLE_READERS}
