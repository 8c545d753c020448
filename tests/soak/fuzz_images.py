"""Fuzz a folder of images: each file is decoded or refused with a reason, and preparing the folder agrees with that."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import seed_files
from watched import read_or_refused

from mlcli.data.own.image_file import BadImageError, DecodedImage
from mlcli.data.own.image_folder import list_image_folder
from mlcli.data.own.image_preparation import prepare, read_summary

_SHAPE = (3, 5, 7)
_KINDS = (
    *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    *(("TIFF", mode) for mode in ("1", "L", "RGB", "CMYK", "YCbCr", "F", "I;16")),
    *(("JPEG", mode) for mode in ("L", "RGB", "CMYK")),
    *(("GIF", "P"), ("BMP", "P"), ("BMP", "RGB"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("PPM", "L"), ("ICO", "RGBA")),
)


class ImagesTarget:
    """The input is one file of a folder with intact images beside it."""

    def __init__(self, scratch: Path) -> None:
        self._folder, self._target = scratch / "photos", scratch / "prepared"
        for name in ("a", "b"):
            (self._folder / name).mkdir(parents=True)
            (self._folder / name / "0.png").write_bytes(seed_files.image("PNG", "RGB") or b"")
        self._file = self._folder / "a" / "1.jpg"

    def seeds(self) -> Iterator[bytes]:
        yield from filter(None, (seed_files.image(kind, mode, (9, 8)) for kind, mode in _KINDS))
        yield seed_files.postscript()

    def dictionary_entries(self) -> Iterable[str]:
        """Return the fragments that headers consist of."""
        return ("IHDR", "PLTE", "tRNS", "IDAT", "eXIf", "iCCP", "zTXt", "II*\x00", "MM\x00*", "GIF89a", "RIFF", "Exif")

    def check(self, data: bytes) -> None:
        """Check that decoding gives pixels of the right shape or a reason, and that preparing leaves out the damage."""
        self._file.write_bytes(data)
        reason = ""
        with read_or_refused():
            try:
                pixels = DecodedImage(self._file).pixels(_SHAPE[0], _SHAPE[1:])
                assert (pixels.shape, pixels.dtype) == (_SHAPE, np.uint8), f"pixels {pixels.shape} {pixels.dtype}"
            except BadImageError as error:
                reason = str(error)
                assert len(reason.splitlines()) == 1, "a damaged image without a reason of one line"
        shutil.rmtree(self._target, ignore_errors=True)
        self._target.mkdir()
        folder = list_image_folder(self._folder)
        prepare(self._target, folder, _SHAPE, on_found=lambda part, found: None, log=lambda line: None)
        n_images = len(np.load(self._target / "train_images.npy"))
        bad = [tuple(one) for one in read_summary(self._target)[1]["train"].bad]
        assert bad == ([("a/1.jpg", reason)] if reason else []), f"{bad} instead of {reason!r}"
        assert n_images == 3 - len(bad), f"{n_images} images were kept"
