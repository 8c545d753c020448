"""The data directory: where it is, which of its folders can be written, and whether the network may be used."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

from mlcli.errors import DataError, UsageError

_CHOOSE = "choose a folder with --data-dir or MLCLI_DATA_DIR"
_LOCK_SECONDS = 3 * 3600.0  # longer than the slowest accepted download
_YES = ("1", "true", "yes", "on")
_NO = ("", "0", "false", "no", "off")


def data_directory(flag: Path | None) -> Path:
    """Return the flag, else MLCLI_DATA_DIR, else the platform's cache folder; absolute, possibly not existing yet.

    DataError if the path exists but is not a folder.
    """
    chosen = flag or os.environ.get("MLCLI_DATA_DIR")
    try:
        path = Path(os.path.abspath(Path(chosen).expanduser())) if chosen else cache_directory()
    except RuntimeError as error:  # ~name of an unknown user
        raise DataError(f"data directory {chosen} cannot be resolved: {error}") from error
    if os.path.lexists(path) and not os.path.isdir(path):
        raise DataError(f"data directory {path} is not a folder\n{_CHOOSE}")
    return path


def cache_directory() -> Path:
    """Return the cache folder of the platform; for a user without a home, a private folder for temporary files.

    DataError if that folder belongs to someone else, whose files are not to be trusted.
    """
    with suppress(RuntimeError):  # depending on its version, platformdirs raises an error or returns a relative path
        path = user_cache_path("mlcli", appauthor=False)
        if path.is_absolute():
            return path
    path = Path(tempfile.gettempdir()) / f"mlcli-{os.getuid()}"
    with writing(path), suppress(FileExistsError):
        path.mkdir(mode=0o700)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        raise DataError(f"{path} is not a private folder, and HOME is not set\n{_CHOOSE}")
    return path


def offline_requested(flag: bool) -> bool:
    """Return whether the flag or MLCLI_OFFLINE forbids the network; UsageError for an unclear value."""
    value = os.environ.get("MLCLI_OFFLINE", "").strip().lower()
    if value not in _YES + _NO:
        raise UsageError(f"MLCLI_OFFLINE is {value!r}; set it to 1 to forbid the network, or to 0 to allow it")
    return flag or value in _YES


def fallback_root(data_dir: Path) -> Path:
    """Return the folder in the platform's cache that replaces this data directory if it is read-only.

    Data directories are often shared by several users and mounted read-only.
    """
    key = hashlib.sha256(os.fsencode(os.path.realpath(data_dir))).hexdigest()[:16]
    return cache_directory() / "for-read-only" / key


def prepared_roots(data_dir: Path) -> tuple[Path, Path]:
    """Return the folders that can contain prepared data for this data directory: in it, and in the platform's cache."""
    return data_dir / "prepared", fallback_root(data_dir) / "prepared"


def writable_prepared_root(data_dir: Path) -> Path:
    """Return the first of `prepared_roots` that can be written, created if necessary; DataError if none can."""
    failures: list[str] = []
    for root in prepared_roots(data_dir):
        try:
            make_folder(root)
            with tempfile.TemporaryFile(dir=root):
                return root
        except OSError as error:
            failures.append(f"{root}: {error.strerror or error}")
    raise DataError(
        f"no writable folder for prepared data; tried {'; '.join(failures)}\n"
        "make one of them writable, or choose a writable folder with --data-dir"
    )


def make_folder(folder: Path) -> None:
    """Create a folder to write into; OSError if it is read-only.

    A folder without any write permission is treated as read-only even for root, who could write to it.
    """
    existing = next(path for path in (folder, *folder.parents) if os.path.exists(path))
    if not existing.stat().st_mode & 0o222:
        raise PermissionError(errno.EACCES, "read-only folder", str(existing))
    folder.mkdir(parents=True, exist_ok=True)


@contextmanager
def locked(path: Path, work: str, log: Callable[[str], None]) -> Iterator[None]:
    """Hold a lock, which the system releases if this process dies; work: what another process that holds it does.

    DataError if it cannot be locked, or not within three hours.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(path)
    try:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            log(f"waiting for another process that is {work}")
            lock.acquire(timeout=_LOCK_SECONDS)
    except (OSError, NotImplementedError) as error:  # Timeout is an OSError
        raise DataError(
            f"{lock.lock_file} cannot be locked: {error}\n"
            "end the process that holds it, or choose another folder with --data-dir"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def staging_folder(parent: Path, name: str) -> Iterator[Path]:
    """Yield a new folder `.<name>-<random>` in `parent`, from where files are renamed into place; removed afterwards.

    Call it under a lock: staging folders that killed processes left are removed as well.
    """
    with writing(parent):
        make_folder(parent)
        for stray in parent.glob(f".{name}-*"):
            shutil.rmtree(stray, ignore_errors=True)
        folder = parent / f".{name}-{os.urandom(6).hex()}"
        folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError raised while `path` is written into a DataError with advice."""
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror or error}\n"
            "free some space, or choose a writable folder with --data-dir"
        ) from error
