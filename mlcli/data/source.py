"""The contract of a dataset source, the records it returns, and the checksums of files and arrays.

numpy must not be imported here: the thread count is decided only after this module was imported.
"""

from __future__ import annotations

import hashlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from mlcli.records import Split
from mlcli.registry import dataset_row

if TYPE_CHECKING:
    from numpy.typing import NDArray

Log = Callable[[str], None]  # receives one line of progress
Mirror = str | Path  # a base URL to which file names are appended, or a folder
PresenceState = Literal["embedded", "prepared", "raw only", "incomplete", "absent"]
FileState = Literal["ok", "missing", "altered"]


@dataclass(frozen=True)
class SourceData:
    """All samples of a source, before any split is made. A set that the source does not have is None."""

    train: Split
    test: Split | None
    fingerprint: str  # sha256 (hex) of the content, see `fingerprint`
    validation: Split | None = None


@dataclass(frozen=True)
class Presence:
    """Whether a dataset is on this machine, judged by file names and sizes alone."""

    state: PresenceState
    path: Path | None  # None if it is embedded or absent


@dataclass(frozen=True)
class FetchReport:
    """The outcome of a fetch. path is None for embedded data."""

    name: str
    n_fetched: int  # files downloaded or copied now
    n_present: int  # files kept, because their checksum was right
    path: Path | None


@dataclass(frozen=True)
class FileCheck:
    """The outcome of verifying one file."""

    path: Path
    state: FileState
    detail: str  # follows the path in a sentence, e.g. "is missing"


@dataclass(frozen=True)
class VerifyReport:
    """The outcome of verifying all files of a dataset. usable: it can be loaded without the network."""

    name: str
    checks: tuple[FileCheck, ...]
    usable: bool

    @property
    def is_absent(self) -> bool:
        """Whether no file of the dataset exists."""
        return all(check.state == "missing" for check in self.checks)


class Source(Protocol):
    """Reads the samples of one dataset. Every method may raise DataError for missing or altered data."""

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """Return all samples; download them first if necessary."""

    def presence(self, data_dir: Path) -> Presence:
        """Return whether the dataset is on this machine, without opening its data files."""

    def fetch(self, data_dir: Path, mirror: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Fetch missing and altered files from a folder or base URL (None: the source's mirrors), and prepare them."""

    def verify(self, data_dir: Path) -> VerifyReport:
        """Verify the checksum of every file; changes nothing."""


def dataset_source(name: str) -> Source:
    """Return the source of a dataset; imports its module, and no framework. UsageError for an unknown name."""
    row = dataset_row(name)
    return cast("Source", pkgutil.resolve_name(row.source)(row.info))


@dataclass(frozen=True)
class RawFile:
    """A file as its publisher distributes it: name, size in bytes and md5 (hex)."""

    name: str
    n_bytes: int
    md5: str


def check_file(file: RawFile, path: Path) -> FileCheck:
    """Verify size and checksum of the file at `path`; a file of the wrong size is not read."""
    try:
        if not path.exists():
            return FileCheck(path, "missing", "is missing")
        if not path.is_file():
            return FileCheck(path, "altered", "is not a file")
        n_bytes = path.stat().st_size
        if n_bytes != file.n_bytes:
            return FileCheck(path, "altered", f"has {n_bytes} bytes instead of {file.n_bytes}")
        with path.open("rb") as stream:
            # usedforsecurity: the publisher's checksum must work even if a system policy forbids MD5.
            digest = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        return FileCheck(path, "altered", f"cannot be read: {error.strerror or error}")
    if digest != file.md5:
        return FileCheck(path, "altered", f"has md5 {digest} instead of {file.md5}")
    return FileCheck(path, "ok", f"md5 {digest}")


def content_sha256(array: NDArray[Any]) -> str:
    """Return the sha256 (hex) of the values in C order and little-endian bytes, the same on every machine."""
    canonical = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
    return hashlib.sha256(canonical.reshape(-1).view("u1").data).hexdigest()


def fingerprint(arrays: Mapping[str, NDArray[Any]], digests: Mapping[str, str] | None = None) -> str:
    """Return the sha256 (hex) over one line per array: name, dtype, shape and `content_sha256`.

    digests: the content digests by name, if they are known already.
    """
    lines = []
    for name, array in arrays.items():
        digest = digests[name] if digests else content_sha256(array)
        shape = "x".join(str(size) for size in array.shape)
        lines.append(f"{name} {array.dtype.name} {shape} {digest}\n")
    return hashlib.sha256("".join(lines).encode()).hexdigest()
