"""The images of a folder, decoded once by all cores into arrays that are memory-mapped afterwards.

    train_images.npy   uint8 (n, channels, height, width)      train_labels.npy   int64 (n,)
    test_images.npy, ...                                        summary.json       what was found, digests

Images are decoded in blocks, so that the memory does not grow with their number.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from mlcli.data.own.image_file import BadImageError, DecodedImage, without_remarks
from mlcli.data.own.image_folder import ImageFolder, ListedImage
from mlcli.data.source import Log, content_sha256
from mlcli.errors import DataError, MlcliError
from mlcli.text import escaped, listed

SUMMARY = "summary.json"
N_BAD_SHOWN = 10
_BLOCK_IMAGES, _BLOCK_BYTES = 128, 8 * 2**20  # of one task: images, and bytes of their files
_MIN_IMAGES_OF_POOL = 1000  # below, starting processes takes longer than it saves
_SECONDS_BETWEEN_LINES = 2.0
_N_SIZES = 1000  # different sizes that are counted

Shape = tuple[int, int, int]  # (channels, height, width)


@dataclass
class Found:
    """What decoding has found in images: damage as (name, reason), and how many images have which size and mode."""

    bad: list[tuple[str, str]] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)  # "HxW", upright
    modes: Counter[str] = field(default_factory=Counter)  # of Pillow
    n_coloured: int = 0

    def add(self, other: Found) -> None:
        """Add what was found in other images."""
        self.bad += other.bad
        self.modes += other.modes
        self.n_coloured += other.n_coloured
        for size, n in other.sizes.items():
            self.sizes[size if size in self.sizes or len(self.sizes) < _N_SIZES else "other"] += n

    def note(self, image: DecodedImage) -> None:
        """Count one image."""
        self.sizes["x".join(map(str, image.size))] += 1
        self.modes[image.mode] += 1
        self.n_coloured += not image.is_grey


OnFound = Callable[[str, Found], None]  # receives the part, and what was found in its images until now


def prepare(target: Path, folder: ImageFolder, shape: Shape, *, on_found: OnFound, log: Log) -> None:
    """Write the arrays of a folder and their summary into an empty folder.

    Damaged images are left out. on_found: may raise to end the work. DataError for a class without other images.
    """
    progress = _Progress(folder, log)
    found: dict[str, Found] = {}
    images_by_part: dict[str, list[bytes | None]] = {}
    with _pool(progress.n_images) as decode:
        for part, images in folder.parts.items():
            found[part], images_by_part[part] = Found(), []
            path = _images_path(target, part)
            _write_header(path, (len(images), *shape))
            for image_digests, block in decode(_blocks(folder.path, images, path, shape)):
                images_by_part[part] += image_digests
                found[part].add(block)
                progress.add(len(image_digests))
                on_found(part, found[part])
    digests: dict[str, str] = {}
    for part in folder.parts:
        kept = [digest for digest in images_by_part[part] if digest is not None]
        is_kept = np.array([digest is not None for digest in images_by_part[part]])
        labels = folder.labels(part)[is_kept]
        _check_classes(folder, part, labels, found[part].bad)
        _drop(_images_path(target, part), is_kept, shape)
        np.save(target / f"{part}_labels.npy", labels)
        images_digest = hashlib.sha256(b"".join(kept)).hexdigest()
        digests |= {f"{part}_images": images_digest, f"{part}_labels": content_sha256(labels)}
    summary = {"digests": digests, "found": {part: vars(one) for part, one in found.items()}}
    (target / SUMMARY).write_text(json.dumps(summary), encoding="ascii")


def bad_images(n_bad: int, bad: Sequence[tuple[str, str]]) -> str:
    """Return how many images are damaged, and the first ten of them with the reason."""
    texts = [f"{escaped(name)} ({reason})" for name, reason in bad[:N_BAD_SHOWN]]
    more = f" and {n_bad - len(texts):,} more" if n_bad > len(texts) else ""
    return f"{n_bad:,} damaged {'image' if n_bad == 1 else 'images'}: {', '.join(texts)}{more}"


def read_summary(folder: Path) -> tuple[dict[str, str], dict[str, Found]]:
    """Return the content digests by array, and what was found by part."""
    summary = json.loads((folder / SUMMARY).read_text(encoding="ascii"))
    found = {
        part: Found(
            [(name, reason) for name, reason in one["bad"]],
            Counter(one["sizes"]),
            Counter(one["modes"]),
            one["n_coloured"],
        )
        for part, one in summary["found"].items()
    }
    return summary["digests"], found


def _images_path(target: Path, part: str) -> Path:
    return target / f"{part}_images.npy"


def _check_classes(folder: ImageFolder, part: str, labels: NDArray[np.int64], bad: Sequence[tuple[str, str]]) -> None:
    counts = np.bincount(labels, minlength=len(folder.class_names)).tolist()
    empty = [repr(name) for name, n in zip(folder.class_names, counts, strict=True) if n == 0]
    if empty and (part == "train" or len(labels) == 0):
        raise DataError(
            f"{folder.location}: {bad_images(len(bad), bad)}\n"
            f"these are all images of classes in {part}: {listed(empty, N_BAD_SHOWN)}"
        )


@dataclass(frozen=True)
class _Block:
    """Consecutive images, and where their pixels belong."""

    paths: tuple[tuple[str, str], ...]  # of each file: relative and whole
    target: Path
    first: int
    shape: Shape


def _blocks(root: Path, images: Sequence[ListedImage], target: Path, shape: Shape) -> Iterator[_Block]:
    start = n_bytes = 0
    for stop, image in enumerate(images, start=1):
        n_bytes += image.n_bytes
        if stop - start == _BLOCK_IMAGES or n_bytes >= _BLOCK_BYTES or stop == len(images):
            paths = tuple((one.name, os.path.join(root, one.name)) for one in images[start:stop])
            yield _Block(paths, target, start, shape)
            start, n_bytes = stop, 0


def _decode(block: _Block) -> tuple[list[bytes | None], Found]:
    """Write the pixels of a block into its file, zeros for damaged images.

    Return the sha256 of the pixels of each image, None if it is damaged, and what was found.
    """
    found = Found()
    digests: list[bytes | None] = []
    pixels = np.zeros((len(block.paths), *block.shape), dtype=np.uint8)
    channels, *size = block.shape
    with without_remarks():
        for index, (name, path) in enumerate(block.paths):
            try:
                image = DecodedImage(path)
                pixels[index] = image.pixels(channels, (size[0], size[1]))
            except BadImageError as error:
                found.bad.append((name, str(error)))
                digests.append(None)
            else:
                found.note(image)
                digests.append(hashlib.sha256(pixels[index].data).digest())
    with block.target.open("r+b") as file:
        file.seek(_header_bytes(block.target) + block.first * pixels[:1].nbytes)
        file.write(pixels.data)
    return digests, found


def _write_header(path: Path, shape: tuple[int, ...]) -> None:
    """Begin an .npy file of bytes; the header leaves room for any other number of samples."""
    with path.open("r+b" if path.exists() else "wb") as file:
        npy_format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


def _header_bytes(path: Path) -> int:
    with path.open("rb") as file:
        npy_format.read_magic(file)
        npy_format.read_array_header_1_0(file)
        return file.tell()


def _drop(path: Path, is_kept: NDArray[np.bool_], shape: Shape) -> None:
    """Shorten the array in a file to the samples that are kept, block by block."""
    if is_kept.all():
        return
    array = np.load(path, mmap_mode="r+")
    indices = np.flatnonzero(is_kept)
    for start in range(0, len(indices), _BLOCK_IMAGES):
        block = indices[start : start + _BLOCK_IMAGES]
        array[start : start + len(block)] = array[block]
    array.flush()
    del array
    n_header = _header_bytes(path)
    _write_header(path, (len(indices), *shape))
    assert _header_bytes(path) == n_header
    os.truncate(path, n_header + len(indices) * int(np.prod(shape)))


class _Progress:
    """Logs how far the images of a folder are, with the rate and the remaining time."""

    def __init__(self, folder: ImageFolder, log: Log) -> None:
        self.n_images = sum(map(len, folder.parts.values()))
        self._location, self._log, self._n_done = folder.location, log, 0
        self._start = self._last = time.perf_counter()
        if self.n_images >= _MIN_IMAGES_OF_POOL:
            log(f"preparing {self.n_images:,} images of {folder.location}, once")

    def add(self, n_images: int) -> None:
        self._n_done += n_images
        now = time.perf_counter()
        if now - self._last < _SECONDS_BETWEEN_LINES:
            return
        self._last, rate = now, self._n_done / (now - self._start)
        self._log(
            f"preparing {self._location}: {self._n_done / self.n_images:.0%}, {rate:,.0f} images/s, "
            f"{(self.n_images - self._n_done) / rate:.0f} s left"
        )


Decode = Callable[[Iterator[_Block]], Iterator[tuple[list[bytes | None], Found]]]


@contextmanager
def _pool(n_images: int) -> Iterator[Decode]:
    """Yield a function that decodes blocks, in their order, on as many cores as the libraries may use."""
    n_processes = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    if n_images < _MIN_IMAGES_OF_POOL or n_processes == 1:
        yield lambda blocks: map(_decode, blocks)
        return
    before = set(multiprocessing.active_children())
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    executor = ProcessPoolExecutor(n_processes, context, _begin_process, (os.getpid(),))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of fork next to threads; the children use none
            yield lambda blocks: executor.map(_decode, blocks)
    except BrokenProcessPool as error:
        raise MlcliError("a process that decodes images was ended, perhaps because the memory was full") from error
    except BaseException:
        for process in set(multiprocessing.active_children()) - before:
            process.terminate()
        raise
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _begin_process(parent: int) -> None:
    """Leave signals of the terminal to the parent, which ends this process; end with a parent that is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_DFL)
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
