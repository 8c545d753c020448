"""Untrusted files are refused if they are not regular, exceed a limit or contradict their header."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib

import numpy as np
import pytest
from numpy.lib import format as npy_format

from mlcli import untrusted
from mlcli.untrusted import (
    check_archive,
    leads_outside,
    open_regular,
    parse_json,
    read_array_header,
    read_inside,
    sized_array_header,
)


def test_importing_the_policy_imports_nothing_heavy():
    code = "import sys, mlcli.untrusted; print(sorted({'numpy', 'pydantic', 'yaml', 'pandas'} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a_file_of_the_directory_is_read_through_a_link_within_it(tmp_path):
    (tmp_path / "run" / "inner").mkdir(parents=True)
    (tmp_path / "run" / "inner" / "x").write_bytes(b"content")
    (tmp_path / "run" / "y").symlink_to("inner/x")
    (tmp_path / "link").symlink_to("run")
    for run in (tmp_path / "run", tmp_path / "link"):
        assert read_inside(run, "y") == read_inside(run, "inner/x") == b"content"
    with pytest.raises(ValueError, match="7 bytes, expected at most 6"):
        read_inside(tmp_path / "run", "y", max_bytes=6)


@pytest.mark.parametrize("name", ["../secret", "link", "folder", "pipe", "loop", "/etc/passwd", "/dev/null"])
def test_a_path_that_is_not_a_file_of_the_directory_is_not_opened(tmp_path, name, monkeypatch):
    (tmp_path / "run" / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "run" / "pipe")
    monkeypatch.setattr(os, "open", lambda *arguments: pytest.fail("opened"))
    with pytest.raises((ValueError, OSError)):
        read_inside(tmp_path / "run", name)


def test_a_name_that_begins_like_the_directory_is_outside(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run2").mkdir()
    assert leads_outside(tmp_path / "run" / ".." / "run2" / "x", tmp_path / "run")
    assert not leads_outside(tmp_path / "run" / "new", tmp_path / "run")


def test_a_file_that_becomes_a_pipe_while_it_is_opened_does_not_block(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    regular = os.stat(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(os, "stat", lambda path: regular)
    with pytest.raises(ValueError, match="not a regular file"):
        open_regular(tmp_path / "pipe")


@pytest.mark.parametrize("suffix", untrusted.MAX_BYTES)
def test_a_file_larger_than_any_of_its_kind_is_not_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.touch()
    os.truncate(path, untrusted.MAX_BYTES[suffix] + 1)
    with pytest.raises(ValueError, match="expected at most"):
        read_inside(tmp_path, path.name)


def file_with_holes(path, n_bytes, stored):
    """Write a file of which only `stored` bytes at each of two positions are on the disk."""
    with path.open("wb") as file:
        file.truncate(n_bytes)
        for position in (2**20, n_bytes // 2):
            file.seek(position)
            file.write(b"x" * stored)
    return path


def test_a_large_file_that_is_mostly_holes_is_not_opened(tmp_path):
    path = file_with_holes(tmp_path / "x", 2**30, 4096)
    with pytest.raises(ValueError, match="1,073,741,824 bytes, of which only 8,192 are stored"):
        open_regular(path)


@pytest.mark.parametrize(("n_bytes", "stored"), [(untrusted.MAX_SPARSE_BYTES, 4096), (2**26, 2**21)])
def test_a_file_with_fewer_holes_is_read_from_its_start(tmp_path, n_bytes, stored):
    with open_regular(file_with_holes(tmp_path / "x", n_bytes, stored)) as file:
        assert file.tell() == 0
        assert len(file.read()) == n_bytes


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 40_000, "nested more than 16 levels"),
        ('{"a": ' + "[" * 40_000, "nested more than 16 levels"),
        ('{"a": ' + '{"a": ' * 20 + "1" + "}" * 21, "nested more than 16 levels"),
        ('{"a": ' + "9" * 100_000 + "}", "a number of 100,000 digits needs more than 64 bits"),
        ('{"a": 9223372036854775808}', "more than 64 bits"),
        ('{"a": 1e400}', "1e400 is not a finite 64-bit number"),
        ('{"a": -Infinity}', "-Infinity is not a finite 64-bit number"),
        ('{"a": [' + "1," * 60_000 + "1]}", "more than 50,000 values"),
        ("7", "not a JSON object"),
        ('{"a": "\\udc00"}', "surrogates not allowed"),
        ('{"a": 1', "Expecting"),
    ],
)
def test_json_beyond_the_bounds_is_refused_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as refusal:
        parse_json(text.encode())
    assert len(str(refusal.value)) < 200


def test_json_within_the_bounds_is_read():
    document = {"a": [[[[[[[[[[[[[1]]]]]]]]]]]]], "b": -(2**63), "c": 2**63 - 1, "d": 5e-324, "é\n": "ü"}
    assert parse_json(json.dumps(document).encode()) == document


def test_control_characters_in_json_are_escaped_except_for_line_breaks():
    found = parse_json(json.dumps({"\x1b": ["\x07", {"a": "b\n\x9b"}]}).encode())
    assert found == {"\\x1b": ["\\x07", {"a": "b\n\\x9b"}]}


def npy(shape, dtype="<i8", body=b"", *, is_fortran=False):
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": is_fortran, "shape": shape})
    return stream.getvalue() + body


@pytest.mark.parametrize("array", [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.ones((2, 3), "i2")), np.array(7)])
def test_the_header_of_a_stored_array_is_read(array):
    stream = io.BytesIO()
    np.save(stream, array)
    stream.seek(0)
    header = sized_array_header(stream, len(stream.getvalue()))
    assert (header.shape, header.dtype, header.n_bytes) == (array.shape, array.dtype, array.nbytes)
    assert header.is_fortran == (array.ndim > 1 and array.flags.f_contiguous)
    assert stream.tell() == len(stream.getvalue()) - array.nbytes


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04 and more",
        npy((3,))[:20],
        npy((-3,), body=bytes(24)),
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF,
        b"\x93NUMPY\x02\x00\xff\xff\x00\x00" + b"(" * 0xFFFF,
        b"\x93NUMPY\x03\x00" + npy((3,))[8:],
        npy((3,)).replace(b"'<i8'", b"'oops'"),
    ],
)
def test_a_malformed_header_is_refused(data):
    with pytest.raises(ValueError, match=r"\w") as refusal:
        read_array_header(io.BytesIO(data))
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize(
    "data",
    [
        npy((2**50,)),
        npy((2**32, 2**32)),
        npy((2,), body=bytes(15)),
        npy((2,), body=bytes(17)),
        npy((1,), "|O", pickle.dumps(["x"])),
    ],
)
def test_an_array_that_contradicts_its_header_is_refused(data):
    with pytest.raises(ValueError, match=r"array"):
        sized_array_header(io.BytesIO(data), len(data))


def archive(compression=zipfile.ZIP_DEFLATED, **members):
    """Return a zip archive. `a_npy=b""` is the member a.npy."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name.replace("_", "."), data)
    return stream.getvalue()


ARRAY = npy((2,), body=bytes(16))


def announcing(n_bytes, content):
    """Return an archive whose member contains `content`, with the size and checksum of only its first bytes."""
    data = archive(x_txt=content)
    sizes, sums = ((len(content), n_bytes), (zlib.crc32(content), zlib.crc32(content[:n_bytes])))
    for before, after in (sizes, sums):
        data = data.replace(struct.pack("<I", before), struct.pack("<I", after))
    return data


@pytest.mark.parametrize("compression", untrusted.COMPRESSIONS)
def test_an_archive_of_arrays_text_and_archives_is_accepted(compression):
    inner = archive(compression, a_npy=ARRAY)
    check_archive(archive(compression, a_npy=ARRAY, b_txt=b"", c_npz=inner, d_json=b"{}"))


def test_zipfile_accepts_a_member_larger_than_its_announced_size():
    data = announcing(10, b"a" * 1_000_000)
    assert zipfile.ZipFile(io.BytesIO(data)).read("x.txt") == b"a" * 10


ARCHIVES = {
    "not an archive": b"PK\x03\x04",
    "announces too little": announcing(10, b"a" * 1_000_000),
    "announces too much": announcing(10, b"abc"),
    "expands too far": archive(x_bin=bytes(2**20 + 1)),
    "expands too far in an archive": archive(x_npz=archive(x_bin=bytes(2**20))),
    "expands too far in all": archive(a_bin=bytes(2**19), b_bin=bytes(2**19), c_bin=b"1"),
    "another compression": archive(zipfile.ZIP_LZMA, x_bin=b"1"),
    "pickled objects": archive(x_npy=npy((1,), "|O", pickle.dumps(["x"]))),
    "an array of petabytes": archive(x_npy=npy((2**50,))),
    "an array of petabytes in an archive": archive(x_npz=archive(x_npy=npy((2**50,)))),
}


@pytest.mark.parametrize("data", ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_contradicts_its_headers_is_refused(data, monkeypatch):
    monkeypatch.setattr(untrusted, "MIN_EXPANDED_BYTES", 2**20)
    with pytest.raises(ValueError, match=r"\w") as refusal:
        check_archive(data)
    assert str(refusal.value).isprintable()
