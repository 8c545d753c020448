"""Raw files brought in from a server or a folder: written aside, held against their checksums, renamed into place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlcli.data.directory import make_folder, unwritable
from mlcli.data.download import TransferError, download
from mlcli.data.raw_files import RawFile, check_file
from mlcli.data.source import Log

Origin = str | Path  # the address that a file's name is added to, or a folder


class FetchError(Exception):
    """A file that no origin gave; the message is one line with all that was tried."""

    def __init__(self, file: RawFile, failures: Sequence[str]) -> None:
        self.file = file
        super().__init__(f"{file.name} could not be fetched; tried {'; '.join(failures)}")


def fetch_files(files: Sequence[RawFile], folder: Path, origins: Sequence[Origin], log: Log) -> None:
    """Bring the files into `folder` from the first of the origins that has each.

    Every file is written aside, held against its checksum, and renamed into place. Call it under a lock.
    FetchError where no origin has a file, DataError where `folder` cannot be written.
    """
    with _staging(folder) as staging:
        for file in files:
            _bring_one(file, staging / file.name, origins, log)
            try:
                os.replace(staging / file.name, folder / file.name)
            except OSError as error:
                raise unwritable(folder / file.name, error) from error


def _bring_one(file: RawFile, target: Path, origins: Sequence[Origin], log: Log) -> None:
    failures: list[str] = []
    for origin in origins:
        place = origin / file.name if isinstance(origin, Path) else f"{origin.rstrip('/')}/{file.name}"
        log(f"fetching {place} ({file.n_bytes / 1e6:.3g} MB)")
        try:
            _transfer(place, target, file)
        except TransferError as error:
            failures.append(f"{place}: {error}")
            continue
        check = check_file(file, target)
        if check.state == "ok":
            return
        failures.append(f"{place}: {check.detail}")
    raise FetchError(file, failures)


def _transfer(place: str | Path, target: Path, file: RawFile) -> None:
    if isinstance(place, str):
        download(place, target, file.n_bytes)
        return
    check = check_file(file, place)
    if check.state != "ok":
        raise TransferError(check.detail)
    try:
        shutil.copyfile(place, target)
    except OSError as error:
        raise unwritable(target, error) from error


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder inside the files' folder, so that renaming stays on one file system; removed at the end.

    Folders that a killed process left are removed too: the caller holds the lock.
    """
    prefix = ".incoming-"
    try:
        make_folder(folder)
        for stray in folder.glob(f"{prefix}*"):
            shutil.rmtree(stray, ignore_errors=True)
        staging = folder / f"{prefix}{os.urandom(6).hex()}"
        staging.mkdir()
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)
