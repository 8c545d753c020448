"""What is kept of a large table in the data directory: its columns, and the arrays of each way to split and encode it.

A small table is read faster than anything could be looked up; it is prepared in memory, by the same code.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcli import __version__
from mlcli.data.cached_folder import cached_folder, known_digest
from mlcli.data.directory import data_directory
from mlcli.data.own.column_store import ColumnStore, OnRows, open_columns, read_columns
from mlcli.data.own.stored_arrays import open_dataset, write_dataset
from mlcli.data.own.table_file import TableFile
from mlcli.data.source import Log
from mlcli.errors import DataError
from mlcli.records import Dataset

LARGE_BYTES = 16 * 2**20  # of a file whose preparation is kept
_SECONDS_BETWEEN_LINES = 5.0


@dataclass(frozen=True)
class Preparation:
    """Where prepared data is kept, and who is told about it. data_dir: None for the default one."""

    data_dir: Path | None = None
    log: Log = lambda _: None

    def digest(self, file: TableFile) -> str:
        """Return the sha256 (hex) of the content of a file."""
        if not _is_large(file):
            return file.digest()
        return known_digest(data_directory(self.data_dir), file.path, file.digest)

    def columns(self, file: TableFile, names: Sequence[str]) -> ColumnStore:
        """Return some columns of a file. DataError for a file without rows, or that changes while it is read."""
        on_rows = _progress(file, self.log)

        def read(folder: Path | None) -> ColumnStore:
            before = os.stat(file.path)
            store = read_columns(file, names, folder, on_rows)
            after = os.stat(file.path)
            if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
                raise DataError(f"{file.location}: changed while it was read; start again when it is complete")
            return store

        if not _is_large(file):
            return read(None)
        key = {
            "columns": sorted(names),
            "texts": sorted(file.texts),
            "missing": file.missing,
            "header": file.has_header,
            "skip": file.skips_bad,
        }
        return open_columns(self._folder([self.digest(file)], key, read))

    def dataset(
        self, files: Mapping[str, TableFile], settings: Mapping[str, Any], make: Callable[[Path | None], Dataset]
    ) -> Dataset:
        """Return what `make` made of the same content with the same settings, or make it now.

        files: by their keys in the configuration. make: called with the folder into which it writes the features, None
        for a dataset in memory.
        """
        if not any(map(_is_large, files.values())):
            return make(None)
        digests = [f"{key} {self.digest(file)}" for key, file in files.items()]
        return open_dataset(self._folder(digests, settings, lambda folder: write_dataset(folder, make(folder))))

    def _folder(self, digests: Sequence[str], key: Mapping[str, Any], build: Callable[[Path], object]) -> Path:
        whole = {"mlcli": __version__, "content": digests, **key}
        return cached_folder(data_directory(self.data_dir), whole, build, self.log)


def _is_large(file: TableFile) -> bool:
    try:
        return os.stat(file.path).st_size >= LARGE_BYTES
    except (OSError, ValueError):
        return False  # reading it says what is wrong


def _progress(file: TableFile, log: Log) -> OnRows:
    """Return a function that logs, every few seconds, how far a file was read, the rate and the remaining time."""
    start = last = time.perf_counter()

    def on_rows(n_rows: int, fraction: float) -> None:
        nonlocal last
        now = time.perf_counter()
        if now - last < _SECONDS_BETWEEN_LINES or not 0 < fraction < 1:
            return
        last, seconds = now, now - start
        left = seconds * (1 - fraction) / fraction
        log(f"reading {file.location}: {fraction:.0%}, {n_rows / seconds:,.0f} rows/s, {left:.0f} s left")

    return on_rows
