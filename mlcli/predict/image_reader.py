"""Samples from image files: one, or all in a folder, turned to grey levels."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.errors import DataError
from mlcli.predict.readers import IMAGE_SUFFIXES, SampleBatch, rows_per_batch
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WHITE = 255.0  # the largest grey level of an image file
# Modes that turn to 8-bit grey levels without losing the scale; "I;16" and "F" would be cut off at 255.
# Those of IMAGE_SUFFIXES. Pillow goes by the content, and has other formats that it gives to other programs to decode.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")


@dataclass
class ImageFiles:
    """Images in the order of their names."""

    paths: list[Path]
    expected: Preprocessing
    n_samples: int
    notes: list[str] = field(default_factory=list)

    def batches(self) -> Iterator[SampleBatch]:
        n_rows = rows_per_batch(self.expected)
        for start in range(0, self.n_samples, n_rows):
            paths = self.paths[start : start + n_rows]
            x = np.stack([_grey_levels(path, self.expected) for path in paths])[:, np.newaxis]
            yield SampleBatch(self._in_range(x), tuple(escaped(path.name) for path in paths))

    def _in_range(self, x: NDArray[np.uint8]) -> NDArray[Any]:
        """White in a file is 255; where the run's white is another value, the levels are stretched to that."""
        white = self.expected.value_range[1] if self.expected.value_range else _WHITE
        if white == _WHITE:
            return x
        return x.astype(np.float32) * np.float32(white / _WHITE)


def open_images(path: Path, expected: Preprocessing) -> ImageFiles:
    """An image file, or those directly in a folder; DataError where there is none."""
    if expected.kind != "image" or expected.input_shape[0] != 1:
        raise DataError(
            f"{path}: the run takes tables ({', '.join(expected.feature_names)}), not images; use a .csv file"
        )
    files = _files_in(path) if path.is_dir() else [path]
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    if not images:
        raise DataError(f"{path}: no image directly in this folder; expected {', '.join(IMAGE_SUFFIXES)}")
    source = ImageFiles(images, expected, len(images))
    if len(images) < len(files):
        source.notes.append(
            f"{len(files) - len(images)} of {len(files)} files in {path} are no images and were left out"
        )
    white = expected.value_range[1] if expected.value_range else _WHITE
    if white != _WHITE:
        source.notes.append(f"grey levels 0 to 255 were brought to 0 to {white:g}, the range of the run's data")
    return source


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(file for file in folder.iterdir() if os.path.isfile(file))
    except OSError as error:
        raise DataError(f"{folder}: cannot be read: {error.strerror}") from error


def _grey_levels(path: Path, expected: Preprocessing) -> NDArray[np.uint8]:
    """uint8 (height, width). The size is judged before anything is decoded."""
    from PIL import Image

    _, height, width = expected.input_shape
    place = escaped(str(path))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as image:
                if image.size != (width, height):
                    raise DataError(f"{place}: {image.width}x{image.height} pixels, expected {width}x{height}")
                if image.mode not in _MODES:
                    raise DataError(f"{place}: pixels of kind {image.mode}, expected 8-bit grey levels or colours")
                return np.asarray(image.convert("L"))
    except DataError:
        raise
    # Pillow lets everything through that its decoders stumble over.
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(f"{place}: not an image that can be read: {escaped(lines[0], 200)}") from error
