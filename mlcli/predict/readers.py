"""The reader for each kind of input file."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mlcli.errors import DataError, UsageError
from mlcli.predict.arrays import open_npy, open_npz
from mlcli.predict.images import IMAGE_SUFFIXES, open_images
from mlcli.predict.samples import SampleSource
from mlcli.predict.tables import open_csv, open_parquet
from mlcli.records import Preprocessing
from mlcli.text import escaped

READERS = {".npy": open_npy, ".npz": open_npz, ".csv": open_csv, ".parquet": open_parquet}


def open_samples(path: Path, expected: Preprocessing, *, array: str | None = None) -> SampleSource:
    """Return the samples of a file, or of a folder of images.

    array: the name of an array in an .npz file; None for `x` or the only one. UsageError for a kind of file that
    cannot be read, DataError for a file that is missing or does not contain samples of the run's shape.
    """
    is_folder = _is_folder(path)
    suffix = path.suffix.lower()
    if array is not None and suffix != ".npz":
        raise UsageError(f"--array {array}: {path} is not an .npz file")
    if is_folder or suffix in IMAGE_SUFFIXES:
        source = open_images(path, expected)
    elif suffix in READERS:
        source = open_npz(path, expected, array) if array is not None else READERS[suffix](path, expected)
    else:
        raise UsageError(
            f"{path}: cannot read this kind of file; use {', '.join(READERS)}, an image or a folder of images"
        )
    if source.n_samples == 0:
        raise DataError(f"{path}: contains no samples")
    return source


def _is_folder(path: Path) -> bool:
    """DataError for anything but a file or folder: a pipe or a device could block the reader for ever."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{escaped(str(path))}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path}: a pipe or a device, expected a file or folder")
    return stat.S_ISDIR(mode)
