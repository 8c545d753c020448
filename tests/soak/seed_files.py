"""Create small files of every format that `predict` reads, and malformed files that resemble them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np

N_SAMPLES = 5


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def npy_with_header(header: str, data: bytes = b"") -> bytes:
    """Return an .npy file with an arbitrary header."""
    text = header.encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + data


def npz(compression: int, **members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def hostile_npy(shape: str) -> list[bytes]:
    """Return .npy files with hostile headers. shape: the shape of one sample as header text, e.g. "4,"."""
    return [
        npy_with_header(f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({n}, {shape})}}", bytes(64))
        for descr in ("<f4", "|O", ">i8", "<f16", "|V8", "|b1")
        for order in (False, True)
        for n in ("2", "0", "-1", str(2**62), "9" * 40)
    ] + [npy_with_header("{'descr': '<f4', 'fortran_order': False, 'shape': " + "-" * 5000 + "1}"), npy_with_header("")]


def parquet(columns: dict[str, list[object]], compression: str = "snappy") -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    buffer = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), buffer, compression=compression)
    return buffer.getvalue()


def image(kind: str, mode: str, size: tuple[int, int] = (8, 8)) -> bytes | None:
    """Return an image file, or None if the image library cannot write this format or mode."""
    from PIL import Image

    pixels = np.arange(size[0] * size[1] * 3, dtype=np.uint8).reshape(size[1], size[0], 3)
    buffer = io.BytesIO()
    try:
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
    except (KeyError, OSError, ValueError):
        return None
    return buffer.getvalue()


def postscript() -> bytes:
    """Return a PostScript image, which is a program that an image library passes to an interpreter."""
    return b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


def with_right_checksums(png: bytes) -> bytes:
    """Return the PNG with the checksum of each chunk corrected, so that a reader accepts its damaged content."""
    whole, position = png[:8], 8
    while position + 8 <= len(png):
        n_bytes = min(int.from_bytes(png[position : position + 4], "big"), len(png) - position - 8)
        content = png[position + 4 : position + 8 + n_bytes]
        whole += struct.pack(">I", n_bytes) + content + struct.pack(">I", zlib.crc32(content))
        position += n_bytes + 12
    return whole
