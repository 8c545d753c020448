"""Arrays in .npz archives, folders of .npy files and folders of IDX files: found by name, and read without trust."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from mlcli.data.own.array_file import is_array_path, open_arrays
from mlcli.errors import DataError

X = np.random.default_rng(0).integers(0, 256, (6, 4, 3)).astype(np.uint8)
Y = np.array([0, 1, 2, 0, 1, 2])
CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array, dtype="u1"):
    header = struct.pack(">HBB", 0, CODES[dtype], array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(dtype).tobytes()


def loaded(path, part=None):
    pair = open_arrays(path).pairs[part]
    return pair.x.load(), pair.y.load()


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        (("x", "y"), [None]),
        (("X", "Y"), [None]),
        (("data", "target"), [None]),
        (("x_train", "y_train", "x_test", "y_test"), ["train", "test"]),
        (("X_train", "y_train", "X_val", "y_val"), ["train", "validation"]),
        (("train_images", "train_labels", "valid_images", "valid_labels"), ["train", "validation"]),
    ],
)
def test_names_say_what_an_array_is(names, parts, tmp_path):
    arrays = {name: X if index % 2 == 0 else Y for index, name in enumerate(names)}
    np.savez(tmp_path / "a.npz", **arrays, notes=np.zeros(3))
    file = open_arrays(tmp_path / "a.npz")
    assert list(file.pairs) == parts
    for part in parts:
        x, y = loaded(tmp_path / "a.npz", part)
        np.testing.assert_array_equal(x, X)
        np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
@pytest.mark.parametrize("x", [X, X.astype(float), np.asfortranarray(X), X.astype(">i4")])
def test_archives_are_read_stored_or_compressed_in_either_order(save, x, tmp_path):
    save(tmp_path / "a.npz", x=x, y=Y)
    found = loaded(tmp_path / "a.npz")[0]
    np.testing.assert_array_equal(found, x)
    assert found.dtype == x.dtype


def test_what_lies_in_a_file_as_it_is_needed_is_mapped(tmp_path):
    np.savez(tmp_path / "a.npz", x=X, y=Y)
    np.save(tmp_path / "x.npy", X.astype(float))
    np.save(tmp_path / "y.npy", Y)
    (tmp_path / "idx").mkdir()
    (tmp_path / "idx" / "train-images-idx3-ubyte").write_bytes(idx(X))
    (tmp_path / "idx" / "train-labels-idx1-ubyte").write_bytes(idx(Y))
    assert is_mapped(loaded(tmp_path / "a.npz")[0])
    assert is_mapped(loaded(tmp_path / "x.npy")[0])
    assert is_mapped(loaded(tmp_path / "idx", "train")[0])


def test_an_npy_file_stands_for_the_arrays_of_its_part_in_its_folder(tmp_path):
    for name, array in {"x": X, "y": Y, "x_train": X[:4], "y_train": Y[:4], "x_test": X[4:], "y_test": Y[4:]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    assert list(open_arrays(tmp_path / "x.npy").pairs) == [None]
    assert list(open_arrays(tmp_path / "x_test.npy").pairs) == ["test"]
    assert len(loaded(tmp_path / "x_train.npy", "train")[1]) == 4
    assert set(open_arrays(tmp_path).pairs) == {None, "train", "test"}


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_of_every_type_are_read_plain_and_gzipped(dtype, suffix, tmp_path):
    compress = gzip.compress if suffix else bytes
    x = X.astype(dtype)
    for part in ("train", "t10k"):
        (tmp_path / f"{part}-images-idx3-any{suffix}").write_bytes(compress(idx(x, dtype)))
        (tmp_path / f"{part}-labels-idx1-ubyte{suffix}").write_bytes(compress(idx(Y)))
    for part in ("train", "test"):
        np.testing.assert_array_equal(loaded(tmp_path, part)[0], x)
        np.testing.assert_array_equal(loaded(tmp_path, part)[1], Y)


def test_the_kind_of_a_path_is_known_by_its_suffix_or_by_the_files_in_it(tmp_path):
    assert is_array_path(tmp_path / "none.npz")
    assert not is_array_path(tmp_path / "none.csv")
    (tmp_path / "photo.png").touch()
    assert not is_array_path(tmp_path)
    (tmp_path / "emnist-letters-train-images-idx3-ubyte.gz").touch()
    assert is_array_path(tmp_path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X, "b": Y}, r"a.npz: no arrays x and y, .*; its arrays: a, b\nrename them"),
        ({"x": X}, r"a.npz: x has no labels with it; name them y\nits arrays: x"),
        ({"x_train": X, "y_train": Y, "y_test": Y}, "y_test has no samples with it; name them x_test"),
        ({"x": X, "X": X, "y": Y}, "a.npz: x, X both hold the x of one part; remove one"),
        (
            {"x": X, "y": np.array(["a", None], object)},
            "a.npz: y: .*of Python objects, which are never loaded; store numbers or texts, e.g. of astype\\(str\\)",
        ),
        ({"x\x1b[2J": X, "c": Y}, r"its arrays: x\\x1b\[2J, c"),
    ],
)
def test_arrays_that_say_too_little_are_refused_with_the_names_that_there_are(arrays, message, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        open_arrays(tmp_path / "a.npz")


def npy(array, shape=None):
    stream = io.BytesIO()
    header = {"descr": array.dtype.str, "fortran_order": False, "shape": shape or array.shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


def test_an_array_of_another_size_than_it_announces_is_refused(tmp_path):
    (tmp_path / "y.npy").write_bytes(npy(Y))
    for shape in [(7, 4, 3), (5, 4, 3), (2**40, 4, 3), (-6, 4, 3)]:
        (tmp_path / "x.npy").write_bytes(npy(X, shape))
        with pytest.raises(DataError, match="x.npy: not a readable array file: an array "):
            open_arrays(tmp_path)


def test_an_archive_that_expands_too_far_is_refused_before_it_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("y.npy", npy(Y))
        with archive.open("x.npy", "w") as stream:
            stream.write(npy(X[:0], (300 * 2**20,)))
            for _ in range(300):
                stream.write(bytes(2**20))
    with pytest.raises(DataError, match=r"a.npz: x: .*expands to .* bytes, expected at most 268,435,456"):
        open_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: data + b"0", lambda data: b"PK" + data[2:]])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_damaged_idx_file_is_refused(damage, suffix, tmp_path):
    content = damage(idx(X))
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    path.write_bytes(gzip.compress(content) if suffix else content)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(idx(Y))
    with pytest.raises(DataError, match=f"{path.name}: not a readable array (file|that)|{path.name}: not a"):
        loaded(tmp_path, "train")


def test_damaged_content_of_an_archive_is_noticed(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", x=X.repeat(50, axis=0), y=Y.repeat(50))
    data = bytearray((tmp_path / "a.npz").read_bytes())
    data[400] ^= 0xFF
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(DataError, match=r"a.npz"):
        loaded(tmp_path / "a.npz")


def test_a_file_that_is_missing_and_a_file_of_another_kind_are_refused(tmp_path):
    with pytest.raises(DataError, match="x.npz: no such file"):
        open_arrays(tmp_path / "x.npz")
    with pytest.raises(DataError, match="x.npy: no such file"):
        open_arrays(tmp_path / "x.npy")
    (tmp_path / "x.npz").write_text("no archive")
    with pytest.raises(DataError, match="x.npz: not a readable array file"):
        open_arrays(tmp_path / "x.npz")
