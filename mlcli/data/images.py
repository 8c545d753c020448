"""Image sets that torchvision knows: raw files in its folder layout, a prepared cache made from them, and a lock.

<data_dir>/<Class>/raw/*.gz     the publisher's files, where torchvision's classes look for them too
<data_dir>/prepared/<name>/     see prepared.py; elsewhere where data_dir cannot be written, see directory.py
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.data.directory import prepared_roots, writable_prepared_root
from mlcli.data.prepared import (
    ARRAY_NAMES,
    MANIFEST,
    PreparedError,
    looks_whole,
    open_prepared,
    scratch_folder,
    write_prepared,
)
from mlcli.data.raw_files import RawFile, check_file
from mlcli.data.source import FetchReport, FileCheck, Log, Presence, SourceData, VerifyReport
from mlcli.errors import DataError, UsageError

if TYPE_CHECKING:
    from mlcli.data.fetch import Origin
    from mlcli.records import DatasetInfo

_LOCK_SECONDS = 3 * 3600.0  # longer than the slowest transfer that is waited for


@dataclass(frozen=True)
class ImageSource:
    """One of torchvision's classes in the manner of MNIST."""

    info: DatasetInfo
    class_name: str  # in torchvision.datasets; also the name of the folder
    mirrors: tuple[str, ...]  # addresses that a file's name is added to
    files: tuple[RawFile, ...]

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """The prepared arrays, memory-mapped; prepared, and fetched, first where they are not there."""
        data = self._opened(data_dir, log)
        if data is not None:
            return data
        if offline and self.presence(data_dir).state in ("incomplete", "absent"):
            self._complete_raw(data_dir, None, offline, log)  # refuses, before any folder is made
        with self._locked(data_dir, log) as root:
            data = self._opened(data_dir, log)  # another process may have prepared them while this one waited
            if data is None:
                self._complete_raw(data_dir, None, offline, log)
                data = self._prepared(data_dir, root, log)
        return data

    def presence(self, data_dir: Path) -> Presence:
        """prepared, raw only, incomplete (a file is missing or has another size) or absent."""
        for root in prepared_roots(data_dir):
            if looks_whole(root / self.info.name):
                return Presence("prepared", root / self.info.name)
        raw = self._raw_folder(data_dir)
        sizes = [_size(raw / file.name) for file in self.files]
        if all(size == file.n_bytes for size, file in zip(sizes, self.files, strict=True)):
            return Presence("raw only", raw)
        return Presence("absent", None) if all(size is None for size in sizes) else Presence("incomplete", raw)

    def fetch(self, data_dir: Path, origin: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Bring in the files that are missing or altered, from origin or else the mirrors, and prepare them."""
        origins = self._origins(origin)
        with self._locked(data_dir, log) as root:
            n_fetched = self._complete_raw(data_dir, origins, offline, log)
            if self._opened(data_dir, log) is None:
                self._prepared(data_dir, root, log)
        return FetchReport(self.info.name, n_fetched, len(self.files) - n_fetched, self._raw_folder(data_dir))

    def verify(self, data_dir: Path) -> VerifyReport:
        """Check the raw files by size and md5, and the prepared arrays by sha256."""
        raw = tuple(check_file(file, self._raw_folder(data_dir) / file.name) for file in self.files)
        prepared = tuple(
            self._check_prepared(root / self.info.name)
            for root in prepared_roots(data_dir)
            if os.path.exists(root / self.info.name)
        )
        usable = all(check.state == "ok" for check in raw) or any(check.state == "ok" for check in prepared)
        return VerifyReport(self.info.name, raw + prepared, usable)

    def _check_prepared(self, folder: Path) -> FileCheck:
        try:
            data = open_prepared(folder, self.info, self._checksums)
        except PreparedError as error:
            return FileCheck(folder, "altered", str(error))
        return FileCheck(folder, "ok", f"content {data.fingerprint[:12]}")

    @property
    def _checksums(self) -> Mapping[str, str]:
        return {file.name: file.md5 for file in self.files}

    def _raw_folder(self, data_dir: Path) -> Path:
        return data_dir / self.class_name / "raw"

    def _opened(self, data_dir: Path, log: Log) -> SourceData | None:
        for root in prepared_roots(data_dir):
            folder = root / self.info.name
            if not os.path.exists(folder / MANIFEST):
                continue
            try:
                return open_prepared(folder, self.info, self._checksums)
            except PreparedError as error:
                log(f"{folder} cannot be used and is made again: {error}")
        return None

    @contextmanager
    def _locked(self, data_dir: Path, log: Log) -> Iterator[Path]:
        """Hold the lock of this dataset in the folder for prepared data, and give that folder.

        The system releases the lock of a process that dies.
        """
        from filelock import FileLock, Timeout

        root = writable_prepared_root(data_dir)
        lock = FileLock(root / f".{self.info.name}.lock")
        try:
            try:
                lock.acquire(timeout=0)
            except Timeout:
                log(f"waiting for another process that is fetching {self.info.name}")
                lock.acquire(timeout=_LOCK_SECONDS)
        except (OSError, NotImplementedError) as error:  # Timeout is an OSError
            raise DataError(
                f"{lock.lock_file} cannot be locked: {error}\n"
                "end the process that holds it, or name another folder with --data-dir"
            ) from error
        try:
            yield root
        finally:
            lock.release()

    def _complete_raw(self, data_dir: Path, origins: Sequence[Origin] | None, offline: bool, log: Log) -> int:
        """Fetch the raw files that are missing or altered; how many that were."""
        folder = self._raw_folder(data_dir)
        checks = {file: check_file(file, folder / file.name) for file in self.files}
        wanted = [file for file, check in checks.items() if check.state != "ok"]
        if not wanted:
            return 0
        origins = self.mirrors if origins is None else origins
        if offline and any(isinstance(origin, str) for origin in origins):
            raise self._refusal(data_dir, "the network may not be used (--offline or MLCLI_OFFLINE)", checks[wanted[0]])
        for file in wanted:
            if checks[file].state == "altered":
                log(f"{folder / file.name} {checks[file].detail}; it is fetched again")
        from mlcli.data.fetch import FetchError, fetch_files

        try:
            fetch_files(wanted, folder, origins, log)
        except FetchError as error:
            raise self._refusal(data_dir, str(error), checks[error.file]) from error
        return len(wanted)

    def _refusal(self, data_dir: Path, reason: str, check: FileCheck) -> DataError:
        state = "is missing" if check.state == "missing" else check.detail
        return DataError(
            f"{self.info.name}: {check.path} {state}\n"
            f"{reason}\n"
            "bring it from a copy or another mirror: "
            f"mlcli data fetch {self.info.name} --from DIR|URL --data-dir {shlex.quote(str(data_dir))}"
        )

    def _prepared(self, data_dir: Path, root: Path, log: Log) -> SourceData:
        """Decode the raw files, which are whole, and write the prepared folder in `root`."""
        from mlcli.data.idx import decode

        log(f"preparing {self.info.name} in {root / self.info.name}")
        paths = [self._raw_folder(data_dir) / file.name for file in self.files]
        folder = root / self.info.name
        with scratch_folder(root, self.info.name) as scratch:
            arrays = decode(paths, self.class_name, self.info, scratch)
        write_prepared(folder, {name: arrays[name] for name in ARRAY_NAMES}, self.info.name, self._checksums)
        try:
            return open_prepared(folder, self.info, self._checksums)
        except PreparedError as error:
            raise DataError(f"{folder} does not hold what was just written: {error}\ncheck that disk") from error

    def _origins(self, origin: str | None) -> tuple[Origin, ...] | None:
        """Where fetch looks: an address, or the folders below a folder in which the files can be."""
        if origin is None:
            return None
        if "://" in origin:
            from mlcli.data.download import check_url

            check_url(origin)
            return (origin,)
        top = Path(origin).expanduser()
        if not os.path.isdir(top):
            raise UsageError(f"{origin!r} is neither a folder that is there nor an http or https address")
        places = (top / self.class_name / "raw", top / self.class_name, top / "raw", top)
        return tuple(place for place in places if any(_size(place / file.name) for file in self.files)) or (top,)


def _size(path: Path) -> int | None:
    """Bytes of a file; None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def mnist(info: DatasetInfo) -> ImageSource:
    """70,000 handwritten digits, 28x28 bytes."""
    return ImageSource(
        info=info,
        class_name="MNIST",
        mirrors=("https://ossci-datasets.s3.amazonaws.com/mnist/", "http://yann.lecun.com/exdb/mnist/"),
        files=(
            RawFile("train-images-idx3-ubyte.gz", 9912422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            RawFile("train-labels-idx1-ubyte.gz", 28881, "d53e105ee54ea40749a09fcbcd1e9432"),
            RawFile("t10k-images-idx3-ubyte.gz", 1648877, "9fb629c4189551a2d022fa330f9573f3"),
            RawFile("t10k-labels-idx1-ubyte.gz", 4542, "ec29112dd5afa0611ce80d1b7f02629c"),
        ),
    )


def fashion(info: DatasetInfo) -> ImageSource:
    """70,000 pictures of clothes, 28x28 bytes."""
    return ImageSource(
        info=info,
        class_name="FashionMNIST",
        mirrors=("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),
        files=(
            RawFile("train-images-idx3-ubyte.gz", 26421880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            RawFile("train-labels-idx1-ubyte.gz", 29515, "25c81989df183df01b3e8a0aad5dffbe"),
            RawFile("t10k-images-idx3-ubyte.gz", 4422102, "bef4ecab320f06d8554ea6380940ec79"),
            RawFile("t10k-labels-idx1-ubyte.gz", 5148, "bb300cfdad3c16e7a12a480ee83cd310"),
        ),
    )
