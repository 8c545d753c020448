"""Where data lives on this machine, and whether the network may be used."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from mlcli.errors import DataError, UsageError

_YES = ("1", "true", "yes", "on")
_NO = ("", "0", "false", "no", "off")


def data_directory(flag: Path | None) -> Path:
    """The flag, then MLCLI_DATA_DIR, then the platform's cache folder; absolute, and not yet made.

    DataError where there is something else than a folder of that name.
    """
    chosen = os.fspath(flag) if flag is not None else os.environ.get("MLCLI_DATA_DIR", "")
    path = _expanded(chosen) if chosen else _platform_cache()
    if os.path.lexists(path) and not os.path.isdir(path):
        raise DataError(f"the data directory {path} is not a folder\nname a folder with --data-dir or MLCLI_DATA_DIR")
    return path


def _expanded(text: str) -> Path:
    try:
        return Path(os.path.abspath(Path(text).expanduser()))
    except RuntimeError as error:  # ~name of an unknown user
        raise DataError(f"the data directory {text} cannot be found: {error}") from error


def _platform_cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("mlcli", appauthor=False)


def offline_requested(flag: bool) -> bool:
    """Whether the flag or MLCLI_OFFLINE forbids the network; UsageError for a value that is neither yes nor no."""
    value = os.environ.get("MLCLI_OFFLINE", "").strip().lower()
    if value not in _YES + _NO:
        raise UsageError(f"MLCLI_OFFLINE is {value!r}; set it to 1 to forbid the network, or to 0")
    return flag or value in _YES


def substitute_root(data_dir: Path) -> Path:
    """A folder of the platform's cache that belongs to this data directory alone, for when that cannot be written."""
    key = hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:16]
    return _platform_cache() / "for-read-only" / key


def prepared_roots(data_dir: Path) -> Iterator[Path]:
    """The folders that can hold prepared data for this data directory, the usual one first."""
    yield data_dir / "prepared"
    yield substitute_root(data_dir) / "prepared"


def writable_prepared_root(data_dir: Path) -> Path:
    """The first of `prepared_roots` that can be written, made where it is not there; DataError where none can."""
    import tempfile  # late: most starts find everything prepared

    refusals: list[str] = []
    for root in prepared_roots(data_dir):
        try:
            make_folder(root)
            with tempfile.TemporaryFile(dir=root):
                return root
        except OSError as error:
            refusals.append(f"{root}: {error.strerror or error}")
    raise DataError(
        f"there is no place for prepared data; tried {'; '.join(refusals)}\n"
        "make one of them writable, or name a writable folder with --data-dir"
    )


def make_folder(folder: Path) -> None:
    """Make a folder to write into; OSError where that cannot be.

    A folder whose permissions let nobody write is meant to stay as it is, also where root could write to it.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "its permissions let nobody write", str(existing))
    folder.mkdir(parents=True, exist_ok=True)


def unwritable(path: Path, error: OSError) -> DataError:
    """The error for a disk that is full or read-only."""
    return DataError(
        f"{path} cannot be written: {error.strerror or error}\n"
        "free space there, or name another, writable folder with --data-dir"
    )
