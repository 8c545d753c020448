"""Folders of data derived from a person's own files: made once, verified, made again if damaged, limited in number.

    <data directory>/prepared/own/<digest of the key>/   the files of the entry
                                                         manifest.json   key, sizes, checksums

An entry is written to a staging folder and renamed. Its modification time is that of its last use; the entries that
were not used for the longest time are removed when all of them together exceed `MAX_CACHE_BYTES`.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mlcli.data.directory import locked, prepared_roots, staging_folder, writable_prepared_root, writing
from mlcli.data.source import Log
from mlcli.errors import DataError, MlcliError
from mlcli.files import write_whole

MAX_CACHE_BYTES = 64 * 2**30
MANIFEST = "manifest.json"
_FOLDER = "own"
_SETTLED_NS = 2 * 10**9
_SCHEMA_VERSION = 1
_CHECKED_BYTES = 2**20


def cached_folder(data_dir: Path, key: Mapping[str, Any], build: Callable[[Path], object], log: Log) -> Path:
    """Return the folder of an entry; `build` fills a new one if there is none that is intact.

    Processes that need the same entry wait for the first. Without a folder that can be written, the entry is made in a
    temporary one, which is removed at the end of the process. DataError if the disk is full; and what `build` raises.
    """
    text = json.dumps({"schema_version": _SCHEMA_VERSION, **key}, sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:32]
    for root in prepared_roots(data_dir):
        if _is_intact(root / _FOLDER / name, text, log):
            return root / _FOLDER / name
    try:
        root = writable_prepared_root(data_dir) / _FOLDER
        root.mkdir(exist_ok=True)
    except (DataError, OSError) as error:
        log(f"prepared data is not kept: {str(error).splitlines()[0]}")
        return _temporary(build)
    folder = root / name
    with locked(root / f".{name}.lock", "preparing the same data", log):
        if not _is_intact(folder, text, _silent):  # another process may have made it meanwhile
            _write(folder, text, build)
    remove_oldest(root, MAX_CACHE_BYTES, keep=folder)
    return folder


def known_digest(data_dir: Path, path: Path, compute: Callable[[], str]) -> str:
    """Return the digest of a file's content, computed again if its size or modification time has changed.

    A file that was modified in the last seconds is not remembered, because it may change without a new time.
    """
    status = os.stat(path)
    identity = [str(path), status.st_size, status.st_mtime_ns]
    name = f".{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
    for root in prepared_roots(data_dir):
        with suppress(OSError, ValueError, LookupError, TypeError):
            known = json.loads((root / _FOLDER / name).read_text(encoding="utf-8"))
            if known["identity"] == identity:
                return str(known["sha256"])
    digest = compute()
    if time.time_ns() - status.st_mtime_ns > _SETTLED_NS:
        with suppress(OSError, MlcliError):
            root = writable_prepared_root(data_dir) / _FOLDER
            root.mkdir(exist_ok=True)
            write_whole(root / name, json.dumps({"identity": identity, "sha256": digest}).encode())
    return digest


def _silent(line: str) -> None:
    """Receive a line of progress that was shown before."""


def _temporary(build: Callable[[Path], object]) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="mlcli-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with writing(folder):
        build(folder)
    return folder


def _write(folder: Path, key: str, build: Callable[[Path], object]) -> None:
    with writing(folder), staging_folder(folder.parent, folder.name) as staging:
        new = staging / "new"
        new.mkdir()
        build(new)
        files = {
            path.name: {"bytes": path.stat().st_size, "checksum": checksum(path)} for path in sorted(new.iterdir())
        }
        (new / MANIFEST).write_text(json.dumps({"key": key, "files": files}), encoding="utf-8")
        if os.path.lexists(folder):
            os.replace(folder, staging / "old")
        os.replace(new, folder)


def _is_intact(folder: Path, key: str, log: Log) -> bool:
    """Return whether an entry exists and all of its files are as they were written."""
    if not folder.is_dir():
        return False
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"] if manifest["key"] == key else {}
        is_intact = bool(files) and all(
            (folder / name).stat().st_size == file["bytes"] and checksum(folder / name) == file["checksum"]
            for name, file in files.items()
        )
    except (OSError, ValueError, LookupError, TypeError):
        is_intact = False
    if is_intact:
        with suppress(OSError):
            os.utime(folder)
    else:
        log(f"{folder} is damaged and will be made again")
    return is_intact


def checksum(path: Path) -> str:
    """Return a checksum (hex) of a file, which shows damage: the sha256 of the sums of its words of 64 bits by MiB.

    It takes a tenth of the time of the sha256 of the content, which is what a start spends on large arrays.
    """
    digest, buffer = hashlib.sha256(), bytearray(_CHECKED_BYTES)
    words = np.frombuffer(buffer, dtype=np.uint64)
    with path.open("rb", buffering=0) as file:
        while n_bytes := file.readinto(buffer):
            n_words = -(-n_bytes // 8)
            buffer[n_bytes : 8 * n_words] = bytes(8 * n_words - n_bytes)
            digest.update(np.add.reduce(words[:n_words]).tobytes())
    return digest.hexdigest()


def entries(root: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folders of entries with their bytes, the one used last first."""
    with suppress(OSError):
        folders = [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")]
        for folder in sorted(folders, key=lambda path: path.stat().st_mtime_ns, reverse=True):
            yield folder, sum(path.stat().st_size for path in folder.iterdir())


def remove_oldest(root: Path, max_bytes: int, keep: Path | None = None) -> tuple[int, int]:
    """Remove entries from the oldest on until the others have at most max_bytes; return their number and bytes."""
    total = n_removed = n_bytes = 0
    for folder, size in list(entries(root)):
        total += size
        if total > max_bytes and folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            n_removed, n_bytes = n_removed + 1, n_bytes + size
    return n_removed, n_bytes


def clean(data_dir: Path) -> tuple[int, int]:
    """Remove all entries of a data directory; return their number and bytes."""
    removed = [remove_oldest(root / _FOLDER, -1) for root in prepared_roots(data_dir)]
    return sum(number for number, _ in removed), sum(size for _, size in removed)
