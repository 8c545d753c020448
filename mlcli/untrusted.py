"""One policy for every file that a stranger may have written: run directories, samples, stored estimators.

- Only regular files are opened: a pipe or a device could block the reader forever, or act on being opened.
- Inside a directory, neither a link nor `..` in a name leads outside of it.
- A file is read whole only if its size is known and no larger than files of its kind can be.
- A large file is more than holes: at least a twentieth of it is stored on the disk.
- Nothing is executed: pickles and arrays of Python objects are never loaded.
- JSON has at most 50,000 values, 16 levels deep; its numbers are finite and fit in 64 bits; its text is safe to print.
- The size that an array header or an archive announces counts only if exactly as many bytes follow.
- An archive expands to at most 20 times its size, or 256 MiB if that is more.
- A gzipped table expands to at most 1 GiB, or 20 times its size if that is more. It is read by blocks of rows.

Every function raises ValueError, with a message of one line, for content that breaks the policy; the caller adds the
name of the file. Importing this module imports no numpy.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from tokenize import TokenError
from typing import IO, TYPE_CHECKING, Any

from mlcli.text import first_line, printable

if TYPE_CHECKING:
    import numpy as np

_MEBIBYTE = 2**20
# By suffix, many times the size of any real file. Files of other kinds (arrays, weights) have no limit of their own.
MAX_BYTES = {".yaml": _MEBIBYTE, ".json": 2 * _MEBIBYTE, ".csv": 24 * _MEBIBYTE, ".txt": 64 * _MEBIBYTE}
MAX_TABLE_BYTES = 2**30  # of a table that is read whole, expanded if it is gzipped
MAX_SPARSE_BYTES = 32 * _MEBIBYTE  # what a file may have in holes, however little of it is stored
MAX_JSON_VALUES = 50_000  # values cost up to a hundred times the memory of their text
MAX_JSON_DEPTH = 16
MAX_JSON_DIGITS = 20
MAX_EXPANSION = 20  # arrays of numbers rarely compress to a tenth of their size
MIN_EXPANDED_BYTES = 256 * _MEBIBYTE  # what every archive may expand to, however small it is
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the two that numpy and skops write

_CHUNK_BYTES = 2**16
# What zipfile and numpy raise for malformed content.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OverflowError, RuntimeError, OSError)
_HEADER_ERRORS = (TokenError, SyntaxError, KeyError, TypeError)


def leads_outside(path: Path, directory: Path) -> bool:
    """Return whether `path`, with links and `..` resolved, lies outside of `directory`."""
    if path.parent == directory and path.name != ".." and not os.path.islink(path):
        return False  # as below, in a tenth of the time
    # os.path.realpath, for Path.resolve raises an error of its own at a link that leads to itself.
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def open_regular(path: str | os.PathLike[str], max_bytes: int | None = None) -> io.BufferedReader:
    """Open a regular file of at most `max_bytes` for reading.

    OSError if it cannot be opened, ValueError if it is a pipe, a device or a folder, or is too large.
    """
    _check_status(os.stat(path), max_bytes)  # before it is opened: some devices act on that alone
    # Should it have become a pipe in between, O_NONBLOCK keeps the call from blocking.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        status = os.fstat(descriptor)
        _check_status(status, max_bytes)
        _check_holes(descriptor, status.st_size)
    except (ValueError, OSError):
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def _check_status(status: os.stat_result, max_bytes: int | None) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    if max_bytes is not None and status.st_size > max_bytes:
        raise ValueError(f"{status.st_size:,} bytes, expected at most {max_bytes:,}")


def _check_holes(descriptor: int, n_bytes: int) -> None:
    """ValueError for a large file of which little is stored: it costs its sender nothing, and its reader everything."""
    if n_bytes <= MAX_SPARSE_BYTES or not hasattr(os, "SEEK_DATA"):
        return
    n_stored = end = 0
    with contextlib.suppress(OSError):  # ENXIO: only a hole follows
        while end < n_bytes and MAX_EXPANSION * n_stored < n_bytes:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
            end = os.lseek(descriptor, start, os.SEEK_HOLE)
            n_stored += end - start
    os.lseek(descriptor, 0, os.SEEK_SET)
    if MAX_EXPANSION * n_stored < n_bytes:
        raise ValueError(f"{n_bytes:,} bytes, of which only {n_stored:,} are stored")


def open_inside(directory: Path, name: str, max_bytes: int | None = None) -> io.BufferedReader:
    """Open a regular file inside a directory; see `open_regular`. max_bytes: None for the limit of its suffix."""
    if leads_outside(directory / name, directory):
        raise ValueError("a link that leads out of the directory")
    limit = MAX_BYTES.get(PurePath(name).suffix) if max_bytes is None else max_bytes
    return open_regular(directory / name, limit)


def read_inside(directory: Path, name: str, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file inside a directory; see `open_inside`."""
    with open_inside(directory, name, max_bytes) as file:
        return file.read(os.fstat(file.fileno()).st_size)  # no more, should another process write to it


@contextmanager
def malformed_as_value_error(what: str) -> Iterator[None]:
    """Raise ValueError in place of the errors of numpy and zipfile, as one printable line that begins with `what`.

    A ValueError that is raised inside keeps the first line of its message.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(first_line(error)) from error
    except (*_ARCHIVE_ERRORS, *_HEADER_ERRORS) as error:
        raise ValueError(f"{what}: {first_line(error)}") from error


def parse_json(data: bytes, max_values: int = MAX_JSON_VALUES) -> dict[str, Any]:
    """Return the object in a JSON document, within the bounds of this module.

    Control characters in texts are escaped, except for line breaks. max_values: counted before anything is parsed, by
    the commas and brackets of the document, those in texts included.
    """
    if sum(map(data.count, (b",", b"[", b"{"))) > max_values:
        raise ValueError(f"more than {max_values:,} values")
    try:
        document = json.loads(
            data.decode("utf-8"), parse_int=_bounded_int, parse_float=_finite_float, parse_constant=_finite_float
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    return {printable(key): _bounded(value, 1) for key, value in document.items()}


_TOO_DEEP = f"nested more than {MAX_JSON_DEPTH} levels deep"


def _bounded(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        value.encode("utf-8")  # half a surrogate pair is a UnicodeEncodeError, which is a ValueError
        return printable(value)
    if not isinstance(value, dict | list):
        return value
    if depth >= MAX_JSON_DEPTH:
        raise ValueError(_TOO_DEEP)
    if isinstance(value, list):
        return [_bounded(item, depth + 1) for item in value]
    return {printable(key): _bounded(item, depth + 1) for key, item in value.items()}


def _bounded_int(digits: str) -> int:
    if len(digits) > MAX_JSON_DIGITS:  # Python refuses to convert thousands of digits
        raise ValueError(f"a number of {len(digits):,} digits needs more than 64 bits")
    if not -(2**63) <= int(digits) < 2**63:
        raise ValueError(f"{digits} needs more than 64 bits")
    return int(digits)


def _finite_float(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{first_line(digits, MAX_JSON_DIGITS)} is not a finite 64-bit number")
    return number


@dataclass(frozen=True)
class ArrayHeader:
    """What the header of a stored array announces."""

    shape: tuple[int, ...]
    is_fortran: bool
    dtype: np.dtype[Any]

    @property
    def n_bytes(self) -> int:
        """The size of the values that must follow the header."""
        return math.prod(self.shape) * self.dtype.itemsize


def read_array_header(stream: IO[bytes]) -> ArrayHeader:
    """Read the header of an array in .npy form; the stream is then at the first value. Nothing is allocated for it.

    The dtype may be of any kind, structured and Python objects included: callers accept the kinds that they need.
    """
    from numpy.lib import format as npy_format

    readers = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
    with malformed_as_value_error("not an array header that can be read"):
        version = npy_format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"version {version} of the .npy format, expected (1, 0) or (2, 0)")
        try:
            header = ArrayHeader(*readers[version](stream))
        except MemoryError as error:  # of Python's parser, at brackets without end
            raise ValueError("an array header that is nested too deeply") from error
    if min(header.shape, default=0) < 0:
        raise ValueError(f"an array of the negative shape {first_line(header.shape, 80)}")
    return header


def sized_array_header(stream: IO[bytes], n_bytes: int) -> ArrayHeader:
    """Read the header of an array that is stored in `n_bytes`, and check that exactly its values follow.

    ValueError for an array of Python objects as well.
    """
    header = read_array_header(stream)
    if header.dtype.hasobject:
        raise ValueError(
            "an array of Python objects, which are never loaded; store numbers or texts, e.g. of astype(str)"
        )
    n_left = n_bytes - stream.tell()
    if header.n_bytes != n_left:
        shape = first_line(header.shape, 80)
        raise ValueError(f"an array that announces shape {shape} of {header.dtype}, and {n_left:,} bytes follow")
    return header


def check_archive(data: bytes) -> None:
    """Check the members of a zip archive before any of them is loaded, and those of archives (.npz) inside it.

    ValueError for an archive that expands too far, members of other sizes than announced, compressions other than
    deflate, and arrays (.npy) of Python objects or of other sizes than their headers announce.
    """
    limit = max(MIN_EXPANDED_BYTES, MAX_EXPANSION * len(data))
    with malformed_as_value_error("not an archive that can be read"):
        _check_members(data, limit)


def _check_members(data: bytes, limit: int) -> int:
    """Return the size of all members, those of archives inside the archive included; at most `limit`."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        n_bytes = sum(member.file_size for member in members)
        if n_bytes > limit:
            raise ValueError(f"an archive of {len(data):,} bytes that expands beyond the limit")
        for member in members:
            _check_size(archive, member)
            if member.filename.endswith(".npz"):
                n_bytes += _check_members(archive.read(member), limit - n_bytes)
            elif member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    sized_array_header(stream, member.file_size)
    return n_bytes


def _check_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Expand a member piece by piece, because what loads it later may ignore the size that it announces."""
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f"a member in compression {member.compress_type}, expected none or deflate")
    probe = copy.copy(member)
    probe.file_size += 1  # zipfile stops at the announced size; one byte more shows whether the content continues
    n_bytes = 0
    with archive.open(probe) as stream:
        while piece := stream.read(_CHUNK_BYTES):
            n_bytes += len(piece)
    if n_bytes != member.file_size:
        raise ValueError(f"a member that announces {member.file_size:,} bytes and holds another number of them")
