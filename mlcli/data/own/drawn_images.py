"""The images of drawn splits: taken from a mapped file, and kept in another one if they are too many for the memory.

A folder that has its own parts needs neither: its training images are those of the file, in its order.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from mlcli.data.cached_folder import cached_folder
from mlcli.data.directory import data_directory
from mlcli.data.preprocessing import take
from mlcli.data.source import Log
from mlcli.memory import MappedPages, available_bytes
from mlcli.records import Split

_FREE_FRACTION = 0.25  # of the free memory; more than that is written into a file
_BLOCK_BYTES = 2**24
_FILE = "images.npy"


@dataclass(frozen=True, eq=False)
class DrawnImages:
    """Images uint8 (n, channels, height, width) in a mapped file, of which splits are taken. content: their digest."""

    images: NDArray[np.uint8]
    content: str
    data_dir: Path | None
    log: Log

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of all images."""
        return self.images.shape

    def __len__(self) -> int:
        return len(self.images)

    def split(self, y: NDArray[np.int64]) -> Split:
        """Return the images with their classes, as samples that are copied when they are taken."""
        return Split(cast("NDArray[np.uint8]", self), y)

    def take(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Return the images at some positions: a view of the first n, else a copy in memory, or in a mapped file."""
        n_bytes = len(indices) * self.images[:1].nbytes
        is_first = np.array_equal(indices, np.arange(len(indices)))
        if is_first or n_bytes <= _FREE_FRACTION * available_bytes():
            return take(Split(self.images, np.arange(len(self))), indices).x
        rows = hashlib.sha256(np.ascontiguousarray(indices, dtype="<i8").tobytes()).hexdigest()
        key = {"drawn_from": self.content, "shape": self.shape, "rows": rows}
        build = partial(self._write, indices)
        folder = cached_folder(data_directory(self.data_dir), key, build, self.log)
        # A plain view of the same memory: the memmap class slows down every later operation.
        return np.asarray(np.load(folder / _FILE, mmap_mode="r"))

    def _write(self, indices: NDArray[np.int64], target: Path) -> None:
        """Write the images at some positions into a file, block by block."""
        self.log(f"copying {len(indices):,} images of a split into a file, once, because the memory is small")
        n_images, pages = max(1, _BLOCK_BYTES // self.images[:1].nbytes), MappedPages()
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(indices), *self.shape[1:])}
        with (target / _FILE).open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, len(indices), n_images):
                block = np.take(self.images, indices[start : start + n_images], axis=0)
                file.write(block.data)
                pages.was_read(self.images, block.nbytes)
