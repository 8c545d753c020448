"""Fuzz the input files of `predict`."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import seed_files
from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin  # noqa: F401
from watched import read_or_refused

from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

_FEATURES = ("sepal length", "sepal width", "petal length", "petal width")
_TABLE = Preprocessing("table", (4,), ("a", "b", "c"), _FEATURES, None, Scaling("none"))
_PIXELS = Preprocessing("image", (1, 8, 8), ("a", "b"), (), (0.0, 16.0), Scaling("unit", scale=16.0))


@dataclass(frozen=True)
class _Case:
    """One kind of file for one kind of run. wrap: makes a file from the fuzzed bytes."""

    suffix: str
    expected: Preprocessing
    seeds: Callable[[], list[bytes]]
    array: str | None = None
    wrap: Callable[[bytes], bytes] = bytes


def _x(expected: Preprocessing, dtype: str = "<f4") -> np.ndarray:
    n_values = seed_files.N_SAMPLES * int(np.prod(expected.input_shape))
    return np.arange(n_values).astype(dtype).reshape(-1, *expected.input_shape)


def _npy_seeds(expected: Preprocessing) -> list[bytes]:
    shape = ", ".join(map(str, expected.input_shape)) + ","
    arrays = [_x(expected), np.asfortranarray(_x(expected, ">f8")), _x(expected, "u1"), np.array([[None] * 4])]
    return [*map(seed_files.npy, arrays), *seed_files.hostile_npy(shape)]


def _npz_seeds(expected: Preprocessing) -> list[bytes]:
    x = seed_files.npy(_x(expected))
    kinds = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    whole = [seed_files.npz(kind, x=x, y=b"") for kind in kinds]
    return [*whole, *map(_damaged, whole), seed_files.npz(zipfile.ZIP_STORED)]


def _damaged(archive: bytes) -> bytes:
    """Overwrite the first bytes of the first member."""
    start = 30 + len("x.npy") + 8
    return archive[:start] + bytes([0xFF, 0x55] * 8) + archive[start + 16 :]


def _stored(member: bytes) -> bytes:
    return seed_files.npz(zipfile.ZIP_STORED, x=member)


def _deflated(member: bytes) -> bytes:
    return seed_files.npz(zipfile.ZIP_DEFLATED, x=member, other=member)


def _table_csv() -> list[bytes]:
    header = ",".join(_FEATURES)
    rows = "\n1,2,3,4\n0.5,1e-3,-2,+7\n"
    return [f"{header}{rows}".encode(), f"\ufeff{header}\n,nan,inf,True\n".encode(), f'"{header}{rows}'.encode()]


def _pixel_csv() -> list[bytes]:
    row = ",".join(map(str, range(64)))
    return [f"{row}\n{row}\n".encode(), ("p," * 63 + f"p\n{row}\n{row},1\n").encode()]


def _parquets() -> list[bytes]:
    def columns(values: list[object]) -> dict[str, list[object]]:
        return dict.fromkeys(_FEATURES, values)

    values: tuple[list[object], ...] = ([1.0, 2.5], [1, 2], [1.0, None], ["a", "b"], [], [[1.0], [2.0]])
    files = [seed_files.parquet(columns(one)) for one in values]
    return files + [seed_files.parquet(columns([1.0, 2.0]), kind) for kind in ("none", "gzip", "zstd", "brotli")]


def _images() -> list[bytes]:
    kinds = [("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")]
    kinds += [
        ("JPEG", "L"),
        ("JPEG", "CMYK"),
        ("BMP", "P"),
        ("GIF", "P"),
        ("WEBP", "RGB"),
        ("PPM", "L"),
        ("TGA", "RGB"),
    ]
    kinds += [("TIFF", mode) for mode in ("1", "L", "RGB", "CMYK", "YCbCr", "F")]
    kinds += [("PCX", "L"), ("ICO", "RGBA"), ("SGI", "L"), ("DDS", "RGB"), ("JPEG2000", "L")]
    files = [seed_files.image(kind, mode) for kind, mode in kinds]
    return [*filter(None, [*files, seed_files.image("PNG", "L", (9, 8))]), seed_files.postscript()]


def _pngs() -> list[bytes]:
    return [seed_files.image("PNG", mode) or b"" for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]


_CASES = (
    _Case(".npy", _TABLE, lambda: _npy_seeds(_TABLE)),
    _Case(".npy", _PIXELS, lambda: _npy_seeds(_PIXELS)),
    _Case(".npz", _TABLE, lambda: _npz_seeds(_TABLE)),
    _Case(".npz", _PIXELS, lambda: _npz_seeds(_PIXELS), array="x"),
    _Case(".npz", _TABLE, lambda: _npy_seeds(_TABLE), wrap=_stored),
    _Case(".npz", _TABLE, lambda: _npy_seeds(_TABLE), array="x", wrap=_deflated),
    _Case(".csv", _TABLE, _table_csv),
    _Case(".csv", _PIXELS, _pixel_csv),
    _Case(".parquet", _TABLE, _parquets),
    _Case(".png", _PIXELS, _images),
    _Case(".png", _PIXELS, _pngs, wrap=seed_files.with_right_checksums),
)


class SamplesTarget:
    """The first byte chooses the kind of file and of run; the rest is the content of the file."""

    def __init__(self, scratch: Path) -> None:
        self._folder = scratch

    def seeds(self) -> Iterator[bytes]:
        for number, case in enumerate(_CASES):
            yield from (bytes([number]) + seed for seed in case.seeds())

    def dictionary_entries(self) -> Iterable[str]:
        """Return the fragments that headers and tables consist of."""
        yield from ("'descr': ", "'fortran_order': True", "'shape': (", "(-1, 4)", "<f4", "|O", "nan", "inf", "1e999")
        yield from (*_FEATURES, '"', "\r\n", "\x00", "PAR1", "IHDR", "PLTE", "tRNS", "IDAT", "iCCP", "zTXt", "II*\x00")

    def check(self, data: bytes) -> None:
        """Check that reading yields valid samples or ends with a clean error."""
        case = _CASES[data[0] % len(_CASES)] if data else _CASES[0]
        file = self._folder / f"samples{case.suffix}"
        file.write_bytes(case.wrap(data[1:]))
        with read_or_refused():
            _read_all(file, case)


def _read_all(file: Path, case: _Case) -> None:
    source = open_samples(file, case.expected, array=case.array)
    n_samples = 0
    for batch in source.batches():
        assert batch.x.shape[1:] == case.expected.input_shape, f"samples of shape {batch.x.shape[1:]}"
        assert batch.x.dtype in (np.uint8, np.float32, np.float64), f"samples of type {batch.x.dtype}"
        assert np.isfinite(batch.x).all(), "samples that are not finite"
        n_samples += len(batch.x)
    assert n_samples > 0, "a file without samples was accepted"
    assert source.n_samples in (None, n_samples), f"{n_samples} samples, announced as {source.n_samples}"
