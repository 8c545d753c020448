"""Hostile input files: refused with a short error, without executing anything, hanging or filling the memory."""

from __future__ import annotations

import io
import os
import pickle
import resource
import struct
import zipfile
import zlib
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from numpy.lib import format as npy_format
from PIL import Image

from mlcli.errors import DataError, UsageError
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

TABLE = Preprocessing("table", (3,), ("a", "b"), ("height", "width", "depth"), None, Scaling("none"))
IMAGES = Preprocessing("image", (1, 4, 3), ("a", "b"), (), (0.0, 255.0), Scaling("unit", scale=255.0))
HEADER = "height,width,depth\n"


class Harm:
    """Creates a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("canary",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@contextmanager
def memory_limit(n_bytes):
    """Let the process allocate at most this many more bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (now + n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def refused(path, expected):
    """Return the error that reading the file ends with."""
    with memory_limit(2**30), pytest.raises((DataError, UsageError)) as refusal:
        for _ in open_samples(path, expected).batches():
            pass
    text = str(refusal.value)
    assert all(line.isprintable() for line in text.splitlines())
    assert len(text) < 1500
    assert len(text.splitlines()) <= 3
    assert not os.path.exists("canary")
    return text


def npy(shape, dtype="<f4", body=b"", *, is_fortran=False):
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": is_fortran, "shape": shape})
    return stream.getvalue() + body


def raw_npy(header, body=b""):
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


def saved(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


ARRAYS = {
    "an empty file": b"",
    "a pickle": pickle.dumps(Harm()),
    "pickled objects": saved(np.array([Harm()] * 12, dtype=object)),
    "pickled objects in a field": saved(np.array([(Harm(), 1.0)], dtype=[("a", object), ("b", float)])),
    "a type of objects": npy((1, 3), "|O", pickle.dumps([Harm()])),
    "petabytes": npy((2**50, 3)),
    "petabytes in Fortran order": npy((2**50, 3), is_fortran=True),
    "a product beyond 64 bits": npy((2**62, 3)),
    "a product beyond 64 bits in Fortran order": npy((2**62, 3), is_fortran=True),
    "an axis of 4,000 digits": npy((10**4000, 3)),
    "a negative axis": npy((-5, 3), body=bytes(60)),
    "a negative axis in Fortran order": npy((-5, 3), body=bytes(60), is_fortran=True),
    "no samples": npy((0, 3)),
    "no axis": npy((), body=bytes(4)),
    "texts": npy((1, 3), "<U9999999"),
    "dates": npy((1, 3), "<M8[s]", bytes(24)),
    "complex numbers": npy((1, 3), "<c16", bytes(48)),
    "code in the header": raw_npy(b"__import__('os').mkdir('canary')\n"),
    "brackets in the header": raw_npy(b"(" * 9000),
    "minus signs in the header": raw_npy(b"{'descr': " + b"-" * 9000 + b"1}"),
    "an unterminated header": raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3"),
    "other keys in the header": raw_npy(b"{'a': 1}"),
    "a list as the shape": raw_npy(b"{'descr': '<f4', 'fortran_order': False, 'shape': [1, 3]}"),
    "a header longer than the file": b"\x93NUMPY\x02\x00\xff\xff\xff\xff{}",
    "an unknown version": b"\x93NUMPY\x09\x00\x10\x00" + b" " * 16,
    "values that are not finite": saved(np.full((2, 3), np.nan)),
}


@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_hostile_arrays_are_refused(folder, content):
    (folder / "x.npy").write_bytes(content)
    refused(folder / "x.npy", TABLE)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("content", ARRAYS.values(), ids=ARRAYS)
def test_hostile_arrays_in_archives_are_refused(folder, content, compression):
    with zipfile.ZipFile(folder / "x.npz", "w", compression) as archive:
        archive.writestr("x.npy", content)
    refused(folder / "x.npz", TABLE)


@contextmanager
def compressed_member(path):
    """Yield the array x of a new archive, to be written piece by piece."""
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        yield member


def test_an_archive_that_expands_to_gigabytes_is_read_in_batches(folder):
    """Zeros are valid samples; only one batch is in memory at a time."""
    with compressed_member(folder / "x.npz") as member:
        member.write(npy((50_000_000, 3), "|u1"))
        for _ in range(150):
            member.write(bytes(10**6))
    assert (folder / "x.npz").stat().st_size < 10**6
    n_samples = 0
    with memory_limit(2**27):
        for batch in open_samples(folder / "x.npz", TABLE).batches():
            n_samples += len(batch.x)
    assert n_samples == 50_000_000


def test_a_large_archive_in_fortran_order_is_refused(folder):
    with compressed_member(folder / "x.npz") as member:
        member.write(npy((100_000_000, 3), is_fortran=True))
        member.write(bytes(10**6))
    assert "save it in C order" in refused(folder / "x.npz", TABLE)


ARCHIVES = {
    "a pickle": pickle.dumps(Harm()),
    "an empty file": b"",
    "no archive": b"PK\x03\x04" + bytes(100),
    "an empty archive": b"PK\x05\x06" + bytes(18),
    "a directory without members": b"PK\x05\x06" + b"\xff" * 18,
}


@pytest.mark.parametrize("content", ARCHIVES.values(), ids=ARCHIVES)
def test_malformed_archives_are_refused(folder, content):
    (folder / "x.npz").write_bytes(content)
    refused(folder / "x.npz", TABLE)


def test_control_characters_in_ten_thousand_array_names_are_escaped(folder):
    with zipfile.ZipFile(folder / "x.npz", "w") as archive:
        for number in range(10_000):
            archive.writestr(f"\x1b]0;owned{number}\x07.npy", b"")
    assert "and 9,988 more" in refused(folder / "x.npz", TABLE)


TABLES = {
    "an empty file": "",
    "a pickle": pickle.dumps(Harm()),
    "a pickle of text": pickle.dumps(Harm(), 0),
    "zeros": bytes(1000),
    "an unterminated quote": HEADER + '1,2,"3\n' * 1000,
    "a name of 200,000 characters": "x" * 200_000 + "\n",
    "not UTF-8": HEADER.encode() + b"\xff\xff,1,2\n",
    "a number of 100,000 digits": HEADER + "9" * 100_000 + ",1,2\n",
    "a number beyond all": HEADER + "1e999,1,2\n",
    "a formula": HEADER + "=cmd|' /C calc'!A0,1,2\n",
    "code": HEADER + "__import__('os').mkdir('canary'),1,2\n",
    "control characters in a cell": HEADER + "\x1b]0;owned\x07,1,2\n",
    "control characters in a column name": "\x1b]0;owned\x07,width,depth\n1,2,3\n",
    "a hundred thousand columns": ",".join(f"c{i}" for i in range(100_000)) + "\n",
    "one column repeated a hundred thousand times": ",".join(["height"] * 100_000) + "\n",
    "rows of more and fewer cells": HEADER + "1,2,3\n1\n1,2,3,4,5\n",
    "no samples": HEADER,
    "only line ends": "\n" * 10_000,
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("expected", [TABLE, IMAGES], ids=["table", "images"])
def test_hostile_tables_are_refused(folder, content, expected):
    (folder / "x.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(folder / "x.csv", expected)


def test_a_line_of_gigabytes_is_not_read_whole(folder):
    with (folder / "x.csv").open("wb") as file:
        file.truncate(2**33)  # a sparse file
    assert "a line of" in refused(folder / "x.csv", TABLE)


def parquet(**columns):
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


WHOLE = parquet(height=[1.0, 2.0], width=[1.0, 2.0], depth=[1.0, 2.0])
NONE = pa.array([], pa.float64())
PARQUETS = {
    "an empty file": b"",
    "a pickle": pickle.dumps(Harm()),
    "only the magic number": b"PAR1PAR1",
    "a footer longer than the file": b"PAR1" + b"\xff\xff\xff\x7f" + b"PAR1",
    "a footer of zeros": b"PAR1" + bytes(100) + b"\x64\x00\x00\x00PAR1",
    "truncated": WHOLE[: len(WHOLE) // 2],
    "texts": parquet(height=["a"], width=["b"], depth=["c"]),
    "lists": parquet(height=[[1.0]], width=[[1.0]], depth=[[1.0]]),
    "no samples": parquet(height=NONE, width=NONE, depth=NONE),
    "control characters in a column name": parquet(**{"\x1b]0;owned\x07": [1.0], "width": [1.0], "depth": [1.0]}),
    "a missing value": parquet(height=[1.0, None], width=[1.0, 2.0], depth=[1.0, 2.0]),
}  # fmt: skip


@pytest.mark.parametrize("content", PARQUETS.values(), ids=PARQUETS)
def test_hostile_parquet_files_are_refused(folder, content):
    (folder / "x.parquet").write_bytes(content)
    refused(folder / "x.parquet", TABLE)


def test_a_parquet_file_with_one_changed_byte_is_read_or_refused(folder):
    path = folder / "x.parquet"
    for position in range(0, len(WHOLE), 7):
        data = bytearray(WHOLE)
        data[position] ^= 0xFF
        path.write_bytes(data)
        try:
            n_samples = sum(len(batch.x) for batch in open_samples(path, TABLE).batches())
        except DataError:
            continue
        assert n_samples == 2


def png(width, height, data=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 3 4
%%EndComments
(canary) (w) file closefile
showpage
%%EOF
"""
PICTURES = {
    "an empty file": b"",
    "a pickle": pickle.dumps(Harm()),
    "a picture of terabytes": png(2**20, 2**20),
    "the largest size that PNG allows": png(2**31 - 1, 2**31 - 1),
    "no pixels": png(3, 4),
    "a page of PostScript": EPS,
    "a text": b"<svg xmlns='http://www.w3.org/2000/svg' width='3' height='4'/>",
    "half a picture": png(3, 4, bytes(16))[:40],
}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".gif", ".bmp", ".webp"])
@pytest.mark.parametrize("content", PICTURES.values(), ids=PICTURES)
def test_hostile_pictures_are_refused(folder, content, suffix):
    (folder / f"x{suffix}").write_bytes(content)
    refused(folder / f"x{suffix}", IMAGES)


def test_no_other_program_is_started_to_decode_a_picture(folder, monkeypatch):
    """Pillow passes PostScript to Ghostscript, whatever the name of the file."""
    started = []
    monkeypatch.setattr("PIL.EpsImagePlugin.gs_binary", None)  # Pillow looks for Ghostscript only once
    monkeypatch.setattr("subprocess.Popen.__init__", lambda self, *arguments, **options: started.append(arguments))
    (folder / "x.png").write_bytes(EPS)
    refused(folder / "x.png", IMAGES)
    assert started == []


def test_control_characters_in_names_of_pictures_are_escaped(folder):
    (folder / "pictures").mkdir()
    (folder / "pictures" / "\x1b]0;owned\x07.png").write_bytes(b"")
    assert "owned" in refused(folder / "pictures", IMAGES)


def test_names_that_are_not_unicode_are_escaped(folder):
    """They are written to output files, and Parquet accepts only Unicode."""
    (folder / "pictures").mkdir()
    for name in (b"\xff.png", b"\x1b[31m.png", "é \u2603.png".encode()):
        Image.fromarray(np.zeros((4, 3), np.uint8)).save(folder / "x.png")
        os.rename(folder / "x.png", os.fsencode(folder / "pictures") + b"/" + name)
    (batch,) = open_samples(folder / "pictures", IMAGES).batches()
    assert sorted(batch.names) == ["\\udcff.png", "\\x1b[31m.png", "é \u2603.png"]


def test_pipes_folders_and_dangling_links_in_a_folder_of_pictures_are_skipped(folder):
    (folder / "pictures").mkdir()
    os.mkfifo(folder / "pictures" / "a.png")
    (folder / "pictures" / "b.png").mkdir()
    (folder / "pictures" / "c.png").symlink_to("nothing")
    (folder / "pictures" / "d.png").symlink_to("d.png")
    assert "no image directly in this folder" in refused(folder / "pictures", IMAGES)
    Image.fromarray(np.zeros((4, 3), np.uint8)).save(folder / "pictures" / "e.png")
    (batch,) = open_samples(folder / "pictures", IMAGES).batches()
    assert batch.names == ("e.png",)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet", ".png"])
def test_a_pipe_is_refused_without_waiting(folder, suffix):
    os.mkfifo(folder / f"x{suffix}")
    assert "a pipe or a device" in refused(folder / f"x{suffix}", TABLE if suffix == ".csv" else IMAGES)


@pytest.mark.parametrize("name", ["x" * 300 + ".npy", "x\0.npy", "x.npy/x.npy", "loop.npy"])
def test_invalid_paths_are_refused(folder, name):
    (folder / "x.npy").write_bytes(b"")
    (folder / "loop.npy").symlink_to("loop.npy")
    refused(folder / name, TABLE)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".parquet"])
def test_a_folder_with_the_suffix_of_a_file_is_refused(folder, suffix):
    (folder / f"x{suffix}").mkdir()
    refused(folder / f"x{suffix}", TABLE)


def test_valid_files_are_read(folder):
    """The tests above would also pass if every file were refused."""
    frame = pd.DataFrame({"height": [1.0, 2.0], "width": [3.0, 4.0], "depth": [5.0, 6.0]})
    frame.to_csv(folder / "x.csv", index=False)
    frame.to_parquet(folder / "x.parquet")
    np.save(folder / "x.npy", frame.to_numpy())
    np.savez(folder / "x.npz", np.asfortranarray(frame.to_numpy()))
    for suffix in (".csv", ".parquet", ".npy", ".npz"):
        (batch,) = open_samples(folder / f"x{suffix}", TABLE).batches()
        assert np.array_equal(batch.x, frame.to_numpy())
    for name in ("x.png", "x.tif", "x.gif", "x.webp", "x.bmp", "x.jpg"):
        Image.fromarray(np.full((4, 3), 7, np.uint8)).save(folder / name)
        (batch,) = open_samples(folder / name, IMAGES).batches()
        assert batch.x.shape == (1, 1, 4, 3)
