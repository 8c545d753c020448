"""Samples from a file of any supported kind, or from a folder of images, which are converted to grey levels."""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import DataError, UsageError
from mlcli.predict.arrays import open_npy, open_npz
from mlcli.predict.samples import SampleBatch, SampleSource, reading
from mlcli.predict.tables import open_csv, open_parquet
from mlcli.records import Preprocessing
from mlcli.text import escaped

READERS = {".npy": open_npy, ".npz": open_npz, ".csv": open_csv, ".parquet": open_parquet}
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# The formats of these suffixes. Pillow goes by the content, and would pass some other formats to external programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
# Modes that convert to 8-bit grey levels without losing the scale; "I;16" and "F" would be clipped at 255.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_WHITE = 255.0  # the largest grey level of an image file


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
        source = _open_images(path, expected)
    elif suffix in READERS:
        source = open_npz(path, expected, array) if array is not None else READERS[suffix](path, expected)
    else:
        known = f"{', '.join(READERS)}, an image or a folder of images"
        raise UsageError(f"{path}: cannot read this kind of file; use {known}")
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


def _open_images(path: Path, expected: Preprocessing) -> SampleSource:
    """Return an image file, or the images directly in a folder in order of their names; DataError if there are none.

    Grey levels are scaled from 0 to 255 to the value range of the run.
    """
    if expected.kind != "image" or expected.input_shape[0] != 1:
        columns = ", ".join(expected.feature_names)
        raise DataError(f"{path}: the run expects tables ({columns}), not images; use a .csv file")
    with reading(str(path), "a readable folder"):
        files = sorted(filter(os.path.isfile, path.iterdir())) if path.is_dir() else [path]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f"{path}: no image directly in this folder; expected {', '.join(IMAGE_SUFFIXES)}")
    white = expected.value_range[1] if expected.value_range else _WHITE
    notes = []
    if len(images) < len(files):
        notes.append(f"skipped {len(files) - len(images)} of {len(files)} files in {path}, which are not images")
    if white != _WHITE:
        notes.append(f"grey levels 0 to 255 were scaled to 0 to {white:g}, the value range of the run")

    def read(n_rows: int) -> Iterator[SampleBatch]:
        for start in range(0, len(images), n_rows):
            paths = images[start : start + n_rows]
            x: NDArray[Any] = np.stack([_grey_levels(path, expected) for path in paths])
            if white != _WHITE:
                x = x.astype(np.float32) * np.float32(white / _WHITE)
            yield SampleBatch(x, tuple(escaped(path.name) for path in paths))

    return SampleSource(str(path), expected, read, len(images), tuple(notes))


def _grey_levels(path: Path, expected: Preprocessing) -> NDArray[np.uint8]:
    """Return the pixels, uint8 (height, width). The size is checked before anything is decoded."""
    from PIL import Image

    _, height, width = expected.input_shape
    location = escaped(str(path))
    with reading(location, "a readable image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # remarks on damaged metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path, formats=_FORMATS) as image:
            if image.size != (width, height):
                raise DataError(f"{location}: {image.width}x{image.height} pixels, expected {width}x{height}")
            if image.mode not in _MODES:
                raise DataError(f"{location}: pixels of mode {image.mode}, expected 8-bit grey levels or colours")
            return np.asarray(image.convert("L"))
