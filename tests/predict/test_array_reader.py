"""Samples from .npy and .npz files."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from mlcli.errors import DataError, UsageError
from mlcli.predict import array_reader as sample_arrays
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

IMAGES = Preprocessing("image", (1, 4, 3), ("a", "b"), (), (0.0, 255.0), Scaling("unit", scale=255.0))
TABLE = Preprocessing("table", (12,), ("a", "b"), tuple(f"f{i}" for i in range(12)), None, Scaling("none"))
VALUES = np.random.default_rng(0).integers(0, 256, (10, 12)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _three_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(sample_arrays, "rows_per_batch", lambda expected: 3)


def read(path, expected=IMAGES, **options):
    batches = list(open_samples(path, expected, **options).batches())
    assert [len(batch.x) for batch in batches] == [3, 3, 3, 1]
    return np.concatenate([batch.x for batch in batches])


def saved(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("shape", [(10, 1, 4, 3), (10, 4, 3), (10, 4, 3, 1), (10, 12)])
def test_images_are_taken_in_every_shape_that_means_the_same(tmp_path, shape):
    x = read(saved(tmp_path, VALUES.reshape(shape)))
    assert x.dtype == np.uint8
    assert np.array_equal(x, VALUES.reshape(10, 1, 4, 3))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", "uint8"), ("bool", "uint8"), ("int16", "float32"), ("int64", "float64"), ("float16", "float32"),
        ("float32", "float32"), (">f4", "float32"), ("float64", "float64"), (">i4", "float64"),
    ],
)  # fmt: skip
def test_every_kind_of_number_is_taken_without_loss(tmp_path, dtype, expected):
    values = (VALUES % 2).astype(dtype)
    x = read(saved(tmp_path, values), TABLE)
    assert x.dtype == np.dtype(expected)
    assert x.dtype.isnative
    assert np.array_equal(x, VALUES % 2)


def test_fortran_order_is_read_right(tmp_path):
    x = read(saved(tmp_path, np.asfortranarray(VALUES)))
    assert np.array_equal(x.reshape(10, 12), VALUES)
    np.savez(tmp_path / "x.npz", np.asfortranarray(VALUES))
    assert np.array_equal(read(tmp_path / "x.npz").reshape(10, 12), VALUES)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_compressed_or_not(tmp_path, save):
    save(tmp_path / "x.npz", y=np.arange(10), x=VALUES)
    assert np.array_equal(read(tmp_path / "x.npz").reshape(10, 12), VALUES)
    save(tmp_path / "only.npz", whatever=VALUES)
    assert np.array_equal(read(tmp_path / "only.npz").reshape(10, 12), VALUES)


def test_which_array_of_several(tmp_path):
    np.savez(tmp_path / "two.npz", first=VALUES, second=255 - VALUES)
    with pytest.raises(UsageError, match="it has first, second: choose one with --array"):
        open_samples(tmp_path / "two.npz", IMAGES)
    with pytest.raises(UsageError, match="no such array; it has first, second"):
        open_samples(tmp_path / "two.npz", IMAGES, array="third")
    assert np.array_equal(read(tmp_path / "two.npz", array="second").reshape(10, 12), 255 - VALUES)


@pytest.mark.parametrize("shape", [(10, 3, 4), (10, 13), (10,), (), (10, 3, 4, 1), (10, 1, 1, 4, 3)])
def test_other_shapes_are_refused_with_those_that_fit(tmp_path, shape):
    with pytest.raises(DataError, match=r"expected \(n, 1, 4, 3\), \(n, 4, 3\), \(n, 4, 3, 1\) or \(n, 12\)"):
        open_samples(saved(tmp_path, np.zeros(shape)), IMAGES)


def test_one_sample_alone_is_told_about_the_first_axis(tmp_path):
    with pytest.raises(DataError, match="a single sample needs a first axis of length 1"):
        open_samples(saved(tmp_path, np.zeros((4, 3))), IMAGES)


def test_no_samples(tmp_path):
    with pytest.raises(DataError, match="there are no samples in it"):
        open_samples(saved(tmp_path, np.zeros((0, 12))), IMAGES)


class Explosive:
    """Unpickled, it would end the process."""

    def __reduce__(self):
        return exit, ("executed",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_never_loaded(tmp_path, suffix):
    array = np.array([Explosive()], dtype=object)
    path = tmp_path / f"x{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez(path, x=array)
    with pytest.raises(DataError, match="holds Python objects, which are never loaded"):
        open_samples(path, IMAGES)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros((1, 12), complex), np.zeros(1, [("a", "f4")])])
def test_what_is_no_number_is_refused(tmp_path, array):
    with pytest.raises(DataError, match="expected numbers"):
        open_samples(saved(tmp_path, array), TABLE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_named(tmp_path, value):
    values = VALUES.astype(np.float32)
    values[7, 5] = value
    path = saved(tmp_path, values)
    with pytest.raises(DataError, match=rf"sample 7 \(from 0\), column 'f5': {value}"):
        list(open_samples(path, TABLE).batches())
    with pytest.raises(DataError, match=r"sample 7 \(from 0\), position \[0, 1, 2\]"):
        list(open_samples(path, IMAGES).batches())


def test_a_file_that_was_cut_off(tmp_path):
    path = saved(tmp_path, VALUES)
    path.write_bytes(path.read_bytes()[: 128 + 12 * 7 + 5])
    with pytest.raises(DataError, match="ends after 7 of 10 samples"):
        list(open_samples(path, IMAGES).batches())


def test_a_damaged_archive(tmp_path):
    np.savez(tmp_path / "x.npz", x=VALUES)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        data[archive.infolist()[0].file_size // 2 + 60] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(bytes(data))
    with pytest.raises(DataError, match="not an array file that can be read"):
        list(open_samples(tmp_path / "x.npz", IMAGES).batches())


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_file_that_is_something_else(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DataError, match="not an array file that can be read"):
        open_samples(tmp_path / name, IMAGES)


def test_a_file_that_is_not_there_and_a_kind_that_cannot_be_read(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        open_samples(tmp_path / "x.npy", IMAGES)
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(UsageError, match=r"use .npy, .npz, .csv, .parquet, an image"):
        open_samples(tmp_path / "x.xlsx", IMAGES)
    with pytest.raises(UsageError, match="--array x"):
        open_samples(saved(tmp_path, VALUES), IMAGES, array="x")
