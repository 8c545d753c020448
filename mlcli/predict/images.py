"""Samples from image files: one file, or every image of a folder, converted to grey levels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError
from mlcli.predict.samples import SampleBatch, SampleSource, reading
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# The formats of these suffixes. Pillow goes by the content, and would pass some other formats to external programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
# Modes that convert to 8-bit grey levels without losing the scale; "I;16" and "F" would be clipped at 255.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_WHITE = 255.0  # the largest grey level of an image file


def open_images(path: Path, expected: Preprocessing) -> SampleSource:
    """Return an image file, or the images directly in a folder in order of their names; DataError if there are none.

    Grey levels are scaled from 0 to 255 to the value range of the run.
    """
    if expected.kind != "image" or expected.input_shape[0] != 1:
        raise DataError(
            f"{path}: the run expects tables ({', '.join(expected.feature_names)}), not images; use a .csv file"
        )
    files = _files_in(path) if path.is_dir() else [path]
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


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if os.path.isfile(file))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


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
