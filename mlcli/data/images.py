"""Image datasets in the format of MNIST: the publisher's raw files, a prepared cache made from them, and a lock.

<data_dir>/<Class>/raw/*.gz     the publisher's files, in the folder layout of torchvision
<data_dir>/prepared/<name>/     see prepared.py; in the platform's cache if data_dir is read-only, see directory.py
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mlcli.data.directory import locked, prepared_roots, staging_folder, writable_prepared_root
from mlcli.data.prepared import ARRAY_NAMES, MANIFEST, PreparedError, is_complete, open_prepared, write_prepared
from mlcli.data.source import (
    FetchReport,
    FileCheck,
    Log,
    Mirror,
    Presence,
    RawFile,
    SourceData,
    VerifyReport,
    check_file,
)
from mlcli.errors import DataError, UsageError
from mlcli.records import DatasetInfo


@dataclass(frozen=True)
class ImageSource:
    """The source of one dataset that torchvision has a class like MNIST for."""

    info: DatasetInfo
    class_name: str  # in torchvision.datasets; also the name of the folder
    mirrors: tuple[str, ...]  # base URLs to which file names are appended
    files: tuple[RawFile, ...]

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """Return the prepared arrays, memory-mapped; download and prepare them first if necessary."""
        data = self._open_prepared(data_dir, log)
        if data is not None:
            return data
        if offline and self.presence(data_dir).state in ("incomplete", "absent"):
            self._complete_raw(data_dir, self.mirrors, offline, log)  # raises before any folder is created
        with self._locked(data_dir, log) as root:
            data = self._open_prepared(data_dir, log)  # another process may have prepared them while this one waited
            if data is None:
                self._complete_raw(data_dir, self.mirrors, offline, log)
                data = self._prepare(data_dir, root, log)
        return data

    def presence(self, data_dir: Path) -> Presence:
        """Return prepared, raw only, incomplete (a file is missing or has the wrong size) or absent."""
        for folder in self._prepared_folders(data_dir):
            if is_complete(folder):
                return Presence("prepared", folder)
        raw = self._raw_folder(data_dir)
        sizes = [_size(raw / file.name) for file in self.files]
        if all(size == file.n_bytes for size, file in zip(sizes, self.files, strict=True)):
            return Presence("raw only", raw)
        return Presence("absent", None) if all(size is None for size in sizes) else Presence("incomplete", raw)

    def fetch(self, data_dir: Path, mirror: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Fetch missing and altered files from the mirror, or else the mirrors of the source, and prepare them."""
        mirrors = self._mirrors(mirror)
        with self._locked(data_dir, log) as root:
            n_fetched = self._complete_raw(data_dir, mirrors, offline, log)
            if self._open_prepared(data_dir, log) is None:
                self._prepare(data_dir, root, log)
        return FetchReport(self.info.name, n_fetched, len(self.files) - n_fetched, self._raw_folder(data_dir))

    def verify(self, data_dir: Path) -> VerifyReport:
        """Verify the raw files by size and md5, and the prepared arrays by sha256."""
        raw = tuple(check_file(file, self._raw_folder(data_dir) / file.name) for file in self.files)
        folders = filter(os.path.exists, self._prepared_folders(data_dir))
        prepared = tuple(self._check_prepared(folder) for folder in folders)
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

    def _prepared_folders(self, data_dir: Path) -> list[Path]:
        return [root / self.info.name for root in prepared_roots(data_dir)]

    def _open_prepared(self, data_dir: Path, log: Log) -> SourceData | None:
        for folder in self._prepared_folders(data_dir):
            if not os.path.exists(folder / MANIFEST):
                continue
            try:
                return open_prepared(folder, self.info, self._checksums)
            except PreparedError as error:
                log(f"{folder} is unusable and will be rebuilt: {error}")
        return None

    @contextmanager
    def _locked(self, data_dir: Path, log: Log) -> Iterator[Path]:
        """Hold the lock of this dataset, and yield the folder for prepared data, which contains the lock file.

        The system releases the lock of a process that dies.
        """
        root = writable_prepared_root(data_dir)
        with locked(root / f".{self.info.name}.lock", f"fetching {self.info.name}", log):
            yield root

    def _complete_raw(self, data_dir: Path, mirrors: Sequence[Mirror], offline: bool, log: Log) -> int:
        """Fetch the raw files that are missing or altered; return their number."""
        folder = self._raw_folder(data_dir)
        checks = {file: check_file(file, folder / file.name) for file in self.files}
        wanted = [file for file, check in checks.items() if check.state != "ok"]
        if not wanted:
            return 0
        if offline and any(isinstance(mirror, str) for mirror in mirrors):
            reason = "network access is disabled (--offline or MLCLI_OFFLINE)"
            raise self._unavailable(data_dir, reason, checks[wanted[0]])
        for file in wanted:
            if checks[file].state == "altered":
                log(f"{folder / file.name} {checks[file].detail}; fetching it again")
        from mlcli.data.fetch import FetchError, fetch_files

        try:
            fetch_files(wanted, folder, mirrors, log)
        except FetchError as error:
            raise self._unavailable(data_dir, str(error), checks[error.file]) from error
        return len(wanted)

    def _unavailable(self, data_dir: Path, reason: str, check: FileCheck) -> DataError:
        return DataError(
            f"{self.info.name}: {check.path} {check.detail}\n"
            f"{reason}\n"
            "fetch it from a copy or another mirror: "
            f"mlcli data fetch {self.info.name} --from DIR|URL --data-dir {shlex.quote(str(data_dir))}"
        )

    def _prepare(self, data_dir: Path, root: Path, log: Log) -> SourceData:
        """Decode the verified raw files and write the prepared folder below `root`."""
        from mlcli.data.prepared import decode

        folder = root / self.info.name
        log(f"preparing {self.info.name} in {folder}")
        paths = [self._raw_folder(data_dir) / file.name for file in self.files]
        with staging_folder(root, self.info.name) as scratch:
            arrays = decode(paths, self.class_name, self.info, scratch)
        write_prepared(folder, {name: arrays[name] for name in ARRAY_NAMES}, self.info.name, self._checksums)
        try:
            return open_prepared(folder, self.info, self._checksums)
        except PreparedError as error:
            raise DataError(f"{folder} differs from what was just written: {error}\ncheck the disk") from error

    def _mirrors(self, mirror: str | None) -> tuple[Mirror, ...]:
        """Return where fetch looks: the source's mirrors, one base URL, or the matching folders below a folder."""
        if mirror is None:
            return self.mirrors
        if "://" in mirror:
            from mlcli.data.fetch import check_url

            check_url(mirror)
            return (mirror,)
        top = Path(os.path.expanduser(mirror))
        if not os.path.isdir(top):
            raise UsageError(f"{mirror!r} is neither an existing folder nor an http or https address")
        folders = (top / self.class_name / "raw", top / self.class_name, top / "raw", top)
        return tuple(folder for folder in folders if any(_size(folder / file.name) for file in self.files)) or (top,)


def _size(path: Path) -> int | None:
    """Return the bytes of a file; None if it does not exist."""
    try:
        return path.stat().st_size
    except OSError:
        return None


def mnist(info: DatasetInfo) -> ImageSource:
    """Return the source of 70,000 handwritten digits, 28x28 pixels, uint8."""
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
    """Return the source of 70,000 pictures of clothes, 28x28 pixels, uint8."""
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
