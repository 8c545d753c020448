"""Reading a file of a run, which may come from anybody.

Never through a link that leads out of the run directory, never from a pipe or a device, which could keep the reader
waiting for ever, and never more bytes than such a file can have.
"""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
PREPROCESSING = "preprocessing.json"
HISTORY = "history.csv"
METRICS = "metrics.json"
PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
ESTIMATOR = "estimator.skops"
LOG = "log.txt"
MANIFEST = "manifest.json"

_MEBIBYTE = 2**20
# Many times what a real run leaves.
_MOST_BYTES = {
    CONFIG: _MEBIBYTE,
    ENVIRONMENT: 8 * _MEBIBYTE,
    METRICS: 8 * _MEBIBYTE,
    MANIFEST: 8 * _MEBIBYTE,
    PREPROCESSING: 8 * _MEBIBYTE,
    HISTORY: 64 * _MEBIBYTE,
    LOG: 64 * _MEBIBYTE,
}


def leads_outside(path: Path, directory: Path) -> bool:
    """Whether links, or dots in the name, lead from the run directory to somewhere else."""
    # os.path.realpath, for Path.resolve raises an error of its own at a link that leads to itself.
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def open_artifact(directory: Path, name: str) -> io.BufferedReader:
    """A file of a run directory, for reading. OSError where it cannot be opened, ValueError where it is no file of it.

    A file that is larger than its kind can be is a ValueError too.
    """
    path = directory / name
    if leads_outside(path, directory):
        raise ValueError("a link that leads out of the run directory")
    _check_kind(os.stat(path), name)  # before it is opened: some devices act on that alone
    # Should it have become a pipe in between, it does not block.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _check_kind(os.fstat(descriptor), name)
    except ValueError:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")


def _check_kind(status: os.stat_result, name: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("not a regular file")
    most = _MOST_BYTES.get(name)
    if most is not None and status.st_size > most:
        raise ValueError(f"{status.st_size:,} bytes, and no run leaves more than {most:,} of them here")


def read_artifact(directory: Path, name: str, most_bytes: int | None = None) -> bytes:
    """The content of a file of a run directory; see `open_artifact`. most_bytes: a closer limit, where one is known."""
    with open_artifact(directory, name) as file:
        n_bytes = os.fstat(file.fileno()).st_size
        if most_bytes is not None and n_bytes > most_bytes:
            raise ValueError(f"{n_bytes:,} bytes, expected {most_bytes:,} at the most")
        return file.read(n_bytes)
