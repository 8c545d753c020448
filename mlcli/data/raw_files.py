"""Raw files of a dataset, verified by size and checksum."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from mlcli.data.source import FileCheck


@dataclass(frozen=True)
class RawFile:
    """A file with its size in bytes and its checksum (hex)."""

    name: str
    n_bytes: int
    md5: str


def check_file(file: RawFile, path: Path) -> FileCheck:
    """Hold the file at `path` against size and checksum; a file of another size is not read."""
    try:
        if not path.exists():
            return FileCheck(path, "missing", "not there")
        if not path.is_file():
            return FileCheck(path, "altered", "is not a file")
        n_bytes = path.stat().st_size
        if n_bytes != file.n_bytes:
            return FileCheck(path, "altered", f"has {n_bytes} bytes instead of {file.n_bytes}")
        digest = _md5(path)
    except OSError as error:
        return FileCheck(path, "altered", f"cannot be read: {error.strerror or error}")
    if digest != file.md5:
        return FileCheck(path, "altered", f"has md5 {digest} instead of {file.md5}")
    return FileCheck(path, "ok", f"md5 {digest}")


def _md5(path: Path) -> str:
    with path.open("rb") as stream:
        # usedforsecurity: the publisher's checksum, also where a policy forbids MD5 for anything else.
        return hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
