"""The files of a person's own data: one for training, and optionally one each for test and validation."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

from mlcli.text import escaped

OTHER_FILES = ("test_path", "validation_path")  # keys of the configuration, beside `path`
Version = tuple[tuple[str, int, int], ...]


def location_of(path: Path) -> str:
    """Return a path as messages show it: relative to the working directory if it is below that."""
    return escaped(os.path.abspath(path).removeprefix(os.path.join(os.getcwd(), "")))


def joined_digest(training: str, others: Mapping[str, str]) -> str:
    """Return the digest of a training file, or the sha256 (hex) over it and those of the other files by their keys."""
    lines = [f"{key} {digest}\n" for key, digest in {"path": training, **others}.items()]
    return hashlib.sha256("".join(lines).encode()).hexdigest() if others else training


def version_of(path: str) -> Version:
    """Return name, time of change and size of a file, or of all files in a folder; of an array, those in its folder.

    Empty if it cannot be read; whoever reads the file says why.
    """
    folder = os.path.dirname(path) if path.lower().endswith(".npy") else path
    try:
        if not os.path.isdir(folder):
            return (_version(path, os.stat(path)),)
        with os.scandir(folder) as entries:
            return tuple(sorted(_version(entry.name, entry.stat()) for entry in entries))
    except (OSError, ValueError):
        return ()


def _version(name: str, status: os.stat_result) -> tuple[str, int, int]:
    return name, status.st_mtime_ns, status.st_size
