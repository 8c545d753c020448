"""One image file as pixels, by rules that are the same in training and in prediction.

- The content decides the format, not the suffix; of an animation or a file with several pages, the first counts.
- An image is turned as its EXIF orientation says.
- Grey levels of 16 bits become 8 bits: 65,535 becomes 255. Palettes become the colours that they stand for.
- Alpha is ignored: what is hidden by transparency counts with the colour that is stored.
- Colours become grey levels by Pillow's `convert("L")`, grey levels become three equal channels.
- An image is resized as a whole, without cropping, so that its aspect ratio may change: Pillow's BILINEAR, which
  averages when it shrinks. An image of the right size is unchanged.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlcli.text import first_line
from mlcli.untrusted import open_regular

if TYPE_CHECKING:
    from PIL import Image

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
# The formats of these suffixes. Pillow goes by the content, and would pass some other formats to external programs.
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
# Modes that convert to 8 bits without losing the scale. "F" would be clipped at 255.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_DEEP_MODES = ("I;16", "I;16B", "I;16L", "I")  # "I" is what some versions of Pillow make of 16 bits
_GREY_MODES = ("1", "L", "LA", *_DEEP_MODES)
_MAX_BYTES = 2**29  # of one file
_ORIENTATION = 0x0112  # the tag of EXIF


class BadImageError(ValueError):
    """A file that is not an image which can be used; the message of one line says why, without its name."""


def image_pixels(path: str | os.PathLike[str], channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image resized to (height, width) by the rules of this module: uint8 (channels, height, width).

    channels: 1 or 3. BadImageError for a file that cannot be decoded.
    """
    return DecodedImage(path).pixels(channels, size)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Ignore what Pillow remarks on damaged metadata; for any number of images, because it takes its time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class DecodedImage:
    """An image file, decoded and turned upright. BadImageError if that fails, also for an image beyond Pillow's limit.

    mode: Pillow's, as stored. size: (height, width), upright. is_grey: whether it is stored without colours.
    is_deep: whether it has 16 bits.
    """

    def __init__(self, path: str | os.PathLike[str], *, header_only: bool = False) -> None:
        from PIL import Image, UnidentifiedImageError

        try:
            with open_regular(path, _MAX_BYTES) as file, Image.open(file, formats=_FORMATS) as image:
                self._read(image, header_only)
        except MemoryError:
            raise
        except UnidentifiedImageError:
            raise BadImageError("not an image of a known format") from None
        except OSError as error:
            raise BadImageError(error.strerror or first_line(error)) from error
        except Exception as error:  # malformed content makes Pillow raise errors of a dozen types
            raise BadImageError(first_line(error)) from error

    def _read(self, image: Image.Image, header_only: bool) -> None:
        from PIL import Image, ImageOps

        if image.width * image.height > (Image.MAX_IMAGE_PIXELS or math.inf):
            raise ValueError(f"{image.width:,} x {image.height:,} pixels, which could be a decompression bomb")
        self.mode = image.mode
        if self.mode not in (*_MODES, *_DEEP_MODES):
            raise ValueError(f"pixels of mode {self.mode}, expected grey levels or colours of 8 or 16 bits")
        self.is_deep = self.mode in _DEEP_MODES
        # Asking for it takes as long as a tenth of decoding a small image.
        has_metadata = image.format != "JPEG" or "exif" in image.info or "xmp" in image.info
        orientation = image.getexif().get(_ORIENTATION, 1) if has_metadata else 1
        is_turned = orientation in (5, 6, 7, 8)
        self.size = (image.width, image.height) if is_turned else (image.height, image.width)
        self.is_grey = _has_grey_palette(image) if self.mode in ("P", "PA") else self.mode in _GREY_MODES
        if header_only:
            return
        image.load()
        self._upright = image if orientation == 1 else ImageOps.exif_transpose(image)

    def pixels(self, channels: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the image resized to (height, width): uint8 (channels, height, width)."""
        from PIL import Image

        image = self._upright
        if image.mode in _DEEP_MODES:
            image = _eight_bits(image)
        mode = {1: "L", 3: "RGB"}[channels]
        if image.mode != mode:
            image = image.convert(mode)
        if self.size != size:
            image = image.resize(size[::-1], Image.Resampling.BILINEAR)
        levels = np.asarray(image)
        return levels[np.newaxis] if channels == 1 else levels.transpose(2, 0, 1)


def _has_grey_palette(image: Image.Image) -> bool:
    colours = np.frombuffer(bytes(image.getpalette("RGB") or ()), np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _eight_bits(image: Image.Image) -> Image.Image:
    from PIL import Image

    levels = np.asarray(image).astype(np.int64)
    if levels.size and not 0 <= levels.min() <= levels.max() <= 0xFFFF:
        raise BadImageError("grey levels of more than 16 bits")
    return Image.fromarray(((levels * 255 + 0x7FFF) // 0xFFFF).astype(np.uint8))
