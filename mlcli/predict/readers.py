"""New samples from a file, batch by batch, in the shape that a run expects; larger files than memory do no harm."""

from __future__ import annotations

import math
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from mlcli.errors import DataError, UsageError
from mlcli.records import Preprocessing
from mlcli.text import escaped

if TYPE_CHECKING:
    from numpy.typing import NDArray

_BATCH_BYTES = 16 * 2**20  # of a batch as float32
_MOST_ROWS = 65_536
_MOST_SHOWN = 80  # characters of a shape

# Suffix to "module:function"; an image file or a folder of them goes to IMAGES.
READERS = {
    ".npy": "mlcli.predict.array_reader:open_npy",
    ".npz": "mlcli.predict.array_reader:open_npz",
    ".csv": "mlcli.predict.csv_reader:open_csv",
    ".parquet": "mlcli.predict.parquet_reader:open_parquet",
}
IMAGES = "mlcli.predict.image_reader:open_images"
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")


@dataclass(frozen=True)
class SampleBatch:
    """x: (n, *input_shape), raw values as integers or floats. names: the file of each sample, where it has one."""

    x: NDArray[Any]
    names: tuple[str, ...] | None = None


class SampleSource(Protocol):
    """Samples in order. n_samples is None where it is known only at the end; notes are complete at the end."""

    n_samples: int | None
    notes: Sequence[str]

    def batches(self) -> Iterator[SampleBatch]:
        """All samples once. DataError at the first that is not what the run expects."""
        ...


def open_samples(path: Path, expected: Preprocessing, *, array: str | None = None) -> SampleSource:
    """The samples of a file, or of a folder of images.

    array: which array of an .npz file; None for `x` or the only one. UsageError for a kind of file that cannot be
    read, DataError for one that is missing or holds something else.
    """
    suffix = path.suffix.lower()
    _check_kind(path)
    if path.is_dir() or suffix in IMAGE_SUFFIXES:
        reader = IMAGES
    elif suffix in READERS:
        reader = READERS[suffix]
    else:
        raise UsageError(f"{path}: cannot be read; use {', '.join(READERS)}, an image or a folder of images")
    if array is not None and suffix != ".npz":
        raise UsageError(f"--array {array}: {path} is no .npz file")
    module, _, function = reader.partition(":")
    open_reader = cast("Callable[..., SampleSource]", getattr(import_module(module), function))
    return open_reader(path, expected, array) if reader == READERS[".npz"] else open_reader(path, expected)


def _check_kind(path: Path) -> None:
    """DataError for what is neither a file nor a folder: a pipe or a device could keep the reader waiting for ever."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: there is no such file or folder") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(f"{escaped(str(path))}: cannot be read: {reason}") from error
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise DataError(f"{path}: neither a file nor a folder, but a pipe or a device")


def rows_per_batch(expected: Preprocessing) -> int:
    """How many samples to hold at a time."""
    return max(1, min(_MOST_ROWS, _BATCH_BYTES // (4 * math.prod(expected.input_shape))))


def accepted_shapes(expected: Preprocessing) -> list[tuple[int, ...]]:
    """The shapes of one sample that stand for the same thing; the first is the run's own."""
    shape = expected.input_shape
    if expected.kind == "table":
        return [shape]
    if shape[0] == 1:
        return [shape, shape[1:], (*shape[1:], 1), (math.prod(shape),)]
    return [shape, (math.prod(shape),)]


def check_shape(place: str, shape: tuple[int, ...], expected: Preprocessing) -> None:
    """DataError, with what was expected, unless (n, ...) is a shape that the run takes."""
    accepted = accepted_shapes(expected)
    if shape[1:] in accepted and len(shape) > 1:
        if shape[0] < 1:
            raise DataError(f"{place}: there are no samples in it")
        if shape[0] >= 2**63:
            raise DataError(f"{place}: announces more samples than can be counted")
        return
    shown = [_with_n(one) for one in accepted]
    alternatives = f"{', '.join(shown[:-1])} or {shown[-1]}" if len(shown) > 1 else shown[0]
    advice = "; a single sample needs a first axis of length 1" if shape in accepted else ""
    raise DataError(f"{place}: shape {_shortened(shape)} does not fit; expected {alternatives}{advice}")


def _shortened(shape: tuple[int, ...]) -> str:
    return escaped(str(shape), _MOST_SHOWN)


def _with_n(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['n', *map(str, shape)])})"
