"""Arrays in files: .npz archives, folders of .npy files, and folders of IDX files, plain or gzipped.

A name says what an array is: `x` (also `images`, `data`, `features`) or `y` (also `labels`, `label`, `target`,
`targets`), in any case; and before or after it, joined by an underscore, the part: `train`, `test`, `validation` (also
`val`, `valid`). Pickled objects are never loaded. Values that lie in a file as they are needed are memory-mapped.
"""

from __future__ import annotations

import gzip
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.files import location_of
from mlcli.errors import DataError, MlcliError
from mlcli.registry import ARRAY_SUFFIXES
from mlcli.text import escaped, first_line, listed
from mlcli.untrusted import (
    COMPRESSIONS,
    MAX_EXPANSION,
    MIN_EXPANDED_BYTES,
    ArrayHeader,
    malformed_as_value_error,
    open_regular,
    sized_array_header,
)

FEATURE_NAMES = "feature_names"  # of an optional array of texts
Part = Literal["train", "validation", "test"]
_PARTS: dict[str, Part] = {
    "train": "train",
    "test": "test",
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
}
_ROLES = {
    **dict.fromkeys(("x", "images", "data", "features"), "x"),
    **dict.fromkeys(("y", "labels", "label", "target", "targets"), "y"),
}
_PART, _ROLE = "|".join(_PARTS), "|".join(_ROLES)
_NAME = re.compile(rf"(?:({_PART})_)?({_ROLE})|({_ROLE})_({_PART})", re.IGNORECASE)
# As MNIST, Fashion-MNIST, KMNIST and EMNIST name their files.
_IDX_NAME = re.compile(r"(?:.+[-_])?(train|t10k|test|val|validation)-(images|labels)[-.]idx\d-[a-z]+(\.gz)?")
_IDX_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_N_SHOWN = 12
_MAX_NAME = 60  # characters of a name in a message


@dataclass(frozen=True)
class StoredArray:
    """An array in a file, as its header announces it. location: the file and the name, safe to print."""

    location: str
    header: ArrayHeader
    load: Callable[[], NDArray[Any]]  # raises DataError for damaged content; the values may be mapped, read-only


@dataclass(frozen=True)
class ArrayPair:
    """The samples of one part and their labels."""

    x: StoredArray
    y: StoredArray


@dataclass(frozen=True)
class ArrayFile:
    """The arrays of a file or folder. pairs: by part; None is that of arrays whose names have no part."""

    location: str
    pairs: dict[Part | None, ArrayPair]
    feature_names: StoredArray | None


def is_array_path(path: Path) -> bool:
    """Return whether a path is that of arrays: by its suffix, or a folder with array files directly in it."""
    if path.name.lower().endswith(ARRAY_SUFFIXES):
        return True
    try:
        return any(name.lower().endswith(".npy") or _IDX_NAME.fullmatch(name) for name in os.listdir(path))
    except (OSError, ValueError):
        return False


def open_arrays(path: Path) -> ArrayFile:
    """Return the arrays of an .npz file, of a folder of .npy or IDX files, or of an .npy file and those it belongs to.

    An .npy file stands for the arrays in its folder with the same part, or with none. DataError for files that cannot
    be read, and for names that do not say what the arrays are.
    """
    location = location_of(path)
    with reading(location):
        if path.suffix.lower() == ".npz":
            arrays = _npz_arrays(path)
        elif path.is_dir():
            arrays = _folder_arrays(path)
        else:
            os.stat(path)
            arrays = {name: array for name, array in _folder_arrays(path.parent).items() if _belongs(name, path.stem)}
    return ArrayFile(location, _pairs(location, arrays), arrays.get(FEATURE_NAMES))


@contextmanager
def reading(location: str) -> Iterator[None]:
    """Raise DataError, beginning with the location, in place of what the system and malformed content raise."""
    try:
        yield
    except (MlcliError, MemoryError):
        raise
    except FileNotFoundError:
        raise DataError(f"{location}: no such file") from None
    except OSError as error:
        raise DataError(f"{location}: cannot be read: {error.strerror or first_line(error)}") from error
    except (ValueError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{location}: not a readable array file: {first_line(error)}") from error


def _role(name: str) -> tuple[Part | None, str] | None:
    """Return the part and whether it is x or y; None for a name that says nothing."""
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    part, role = (found[1] or found[4]), (found[2] or found[3])
    return _PARTS[part.lower()] if part else None, _ROLES[role.lower()]


def _belongs(name: str, stem: str) -> bool:
    of_name, of_file = _role(name), _role(stem)
    if of_file is None:
        return name == stem
    return name == FEATURE_NAMES or (of_name is not None and of_name[0] == of_file[0])


def _pairs(location: str, arrays: dict[str, StoredArray]) -> dict[Part | None, ArrayPair]:
    roles: dict[tuple[Part | None, str], str] = {}
    for name in arrays:
        role = _role(name)
        if role is not None and role in roles:
            raise DataError(
                f"{location}: {_shown([roles[role], name])} both hold the {role[1]} of one part; remove one"
            )
        if role is not None:
            roles[role] = name
    pairs: dict[Part | None, ArrayPair] = {}
    for part in dict.fromkeys(part for part, _ in roles):
        x, y = roles.get((part, "x")), roles.get((part, "y"))
        if x is None or y is None:
            kind, other = ("labels", "y") if y is None else ("samples", "x")
            wanted = f"{other}_{part}" if part else other
            raise DataError(
                f"{location}: {x or y} has no {kind} with it; name them {wanted}\nits arrays: {_shown(list(arrays))}"
            )
        pairs[part] = ArrayPair(arrays[x], arrays[y])
    if not pairs:
        raise DataError(
            f"{location}: no arrays x and y, or x_train, y_train, x_test and y_test; its arrays: "
            f"{_shown(list(arrays)) or 'none'}\nrename them, e.g. numpy.savez(FILE, x=..., y=...)"
        )
    return pairs


def _shown(names: list[str]) -> str:
    return listed([escaped(name, _MAX_NAME) for name in names], _N_SHOWN)


def _folder_arrays(folder: Path) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}
    for path in sorted(folder.iterdir()):
        idx = _IDX_NAME.fullmatch(path.name)
        if idx is None and path.suffix.lower() != ".npy":
            continue
        name = f"{idx[1].replace('t10k', 'test')}_{idx[2]}" if idx else path.stem
        if name in arrays:
            raise DataError(f"{location_of(path)}: {arrays[name].location} holds the {name} too; remove one of them")
        with reading(location_of(path)):
            arrays[name] = _idx_array(path) if idx else _npy_array(path)
    return arrays


def _npy_array(path: Path) -> StoredArray:
    with open_regular(path) as stream:
        header = sized_array_header(stream, os.fstat(stream.fileno()).st_size)
        offset = stream.tell()
    location = location_of(path)
    return StoredArray(location, header, partial(_loaded, location, path, header, offset, partial(np.load, path)))


def _npz_arrays(path: Path) -> dict[str, StoredArray]:
    location, arrays = location_of(path), {}
    with open_regular(path) as file, _archive(file) as archive:
        limit = max(MIN_EXPANDED_BYTES, MAX_EXPANSION * os.fstat(file.fileno()).st_size)
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name == member.filename or (_role(name) is None and name != FEATURE_NAMES):
                arrays[name] = StoredArray(location, ArrayHeader((), False, np.dtype("V")), _never)  # only named
                continue
            where = f"{location}: {escaped(name, _MAX_NAME)}"
            with reading(where), malformed_as_value_error("an archive that cannot be read"):
                if member.compress_type not in COMPRESSIONS:
                    raise ValueError("a compression that numpy does not write")
                if member.file_size > limit:
                    raise ValueError(f"expands to {member.file_size:,} bytes, expected at most {limit:,}")
                with archive.open(member) as stream:
                    header = sized_array_header(stream, member.file_size)
                    offset = stream.tell()
                is_stored = member.compress_type == zipfile.ZIP_STORED
                start = _member_start(file, member) + offset if is_stored else None
                read = partial(_member, path, member.filename)
                arrays[name] = StoredArray(where, header, partial(_loaded, where, path, header, start, read))
    return arrays


def _never() -> NDArray[Any]:
    raise AssertionError("an array that has no role")


@contextmanager
def _archive(file: IO[bytes]) -> Iterator[zipfile.ZipFile]:
    with malformed_as_value_error("not an archive of arrays"), zipfile.ZipFile(file) as archive:
        yield archive


def _member_start(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Return where the content of an uncompressed member begins: after a header with two fields of any length."""
    file.seek(member.header_offset + 26)
    n_name, n_extra = struct.unpack("<HH", file.read(4))
    return member.header_offset + 30 + int(n_name) + int(n_extra)


def _member(path: Path, name: str) -> NDArray[Any]:
    with open_regular(path) as file, _archive(file) as archive, archive.open(name) as stream:
        array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
        stream.read(1)  # so that the checksum of the member is compared
        return array


def _loaded(
    location: str, path: Path, header: ArrayHeader, offset: int | None, read: Callable[[], NDArray[Any]]
) -> NDArray[Any]:
    """Return the values: mapped if they lie in the file at an offset that suits their type, else by `read`."""
    with reading(location), malformed_as_value_error("not an array that can be read"):
        if offset is None or offset % header.dtype.alignment or not header.n_bytes:
            return read()
        order: Literal["C", "F"] = "F" if header.is_fortran else "C"
        # A plain view of the same memory: the memmap class slows down every later operation.
        return np.asarray(np.memmap(path, header.dtype, "r", offset, header.shape, order))


def _idx_array(path: Path) -> StoredArray:
    location, is_gzipped = location_of(path), path.suffix.lower() == ".gz"
    with _idx_stream(path) as stream:
        header, offset = _idx_header(stream)
        n_bytes = None if is_gzipped else os.fstat(stream.fileno()).st_size - offset
    limit = max(MIN_EXPANDED_BYTES, MAX_EXPANSION * path.stat().st_size)
    if n_bytes not in (None, header.n_bytes) or header.n_bytes > limit:
        raise ValueError(f"announces {header.n_bytes:,} bytes of values, and {n_bytes or limit:,} can follow")
    read = partial(_idx_values, path, header)
    return StoredArray(location, header, partial(_loaded, location, path, header, None if is_gzipped else offset, read))


@contextmanager
def _idx_stream(path: Path) -> Iterator[BinaryIO | gzip.GzipFile]:
    with open_regular(path) as file:
        if path.suffix.lower() != ".gz":
            yield file
            return
        with gzip.open(file) as stream:
            yield stream


def _idx_header(stream: BinaryIO | gzip.GzipFile) -> tuple[ArrayHeader, int]:
    """Return the header of an IDX file and its length: two zero bytes, type, number of axes, and the axes.

    Format: http://yann.lecun.com/exdb/mnist.
    """
    zeros, code, n_axes = struct.unpack(">HBB", stream.read(4))
    if zeros or code not in _IDX_TYPES or not n_axes:
        raise ValueError("it does not begin as an IDX file does")
    shape = struct.unpack(f">{n_axes}I", stream.read(4 * n_axes))
    return ArrayHeader(shape, False, np.dtype(_IDX_TYPES[code])), 4 + 4 * n_axes


def _idx_values(path: Path, header: ArrayHeader) -> NDArray[Any]:
    with _idx_stream(path) as stream:
        _idx_header(stream)
        data = stream.read(header.n_bytes + 1)
    if len(data) != header.n_bytes:
        raise ValueError(f"announces {header.n_bytes:,} bytes of values, and another number of them follows")
    return np.frombuffer(data, header.dtype, math.prod(header.shape)).reshape(header.shape)
