"""Samples from .npy and .npz files."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest

from mlcli.errors import DataError, UsageError
from mlcli.predict import samples
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

IMAGES = Preprocessing("image", (1, 4, 3), ("a", "b"), (), (0.0, 255.0), Scaling("unit", scale=255.0))
TABLE = Preprocessing("table", (12,), ("a", "b"), tuple(f"f{i}" for i in range(12)), None, Scaling("none"))
VALUES = np.random.default_rng(0).integers(0, 256, (10, 12)).astype(np.uint8)


@pytest.fixture(autouse=True)
def _batches_of_three(monkeypatch):
    monkeypatch.setattr(samples, "rows_per_batch", lambda expected: 3)


def read(path, expected=IMAGES, **options):
    batches = list(open_samples(path, expected, **options).batches())
    assert [len(batch.x) for batch in batches] == [3, 3, 3, 1]
    return np.concatenate([batch.x for batch in batches])


def saved(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    return tmp_path / "x.npy"


@pytest.mark.parametrize("shape", [(10, 1, 4, 3), (10, 4, 3), (10, 4, 3, 1), (10, 12)])
def test_images_are_read_in_every_equivalent_shape(tmp_path, shape):
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
def test_every_kind_of_number_is_read_without_loss(tmp_path, dtype, expected):
    values = (VALUES % 2).astype(dtype)
    x = read(saved(tmp_path, values), TABLE)
    assert x.dtype == np.dtype(expected)
    assert x.dtype.isnative
    assert np.array_equal(x, VALUES % 2)


def test_arrays_in_fortran_order_are_read(tmp_path):
    x = read(saved(tmp_path, np.asfortranarray(VALUES)))
    assert np.array_equal(x.reshape(10, 12), VALUES)
    np.savez(tmp_path / "x.npz", np.asfortranarray(VALUES))
    assert np.array_equal(read(tmp_path / "x.npz").reshape(10, 12), VALUES)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_compressed_and_uncompressed_archives_are_read(tmp_path, save):
    save(tmp_path / "x.npz", y=np.arange(10), x=VALUES)
    assert np.array_equal(read(tmp_path / "x.npz").reshape(10, 12), VALUES)
    save(tmp_path / "only.npz", whatever=VALUES)
    assert np.array_equal(read(tmp_path / "only.npz").reshape(10, 12), VALUES)


def test_one_of_several_arrays_is_chosen_by_name(tmp_path):
    np.savez(tmp_path / "two.npz", first=VALUES, second=255 - VALUES)
    with pytest.raises(UsageError, match="none of them named x; choose one with --array: first, second"):
        open_samples(tmp_path / "two.npz", IMAGES)
    with pytest.raises(UsageError, match="no such array; its arrays: first, second"):
        open_samples(tmp_path / "two.npz", IMAGES, array="third")
    assert np.array_equal(read(tmp_path / "two.npz", array="second").reshape(10, 12), 255 - VALUES)


@pytest.mark.parametrize("shape", [(10, 3, 4), (10, 13), (10,), (), (10, 3, 4, 1), (10, 1, 1, 4, 3)])
def test_other_shapes_are_refused_with_the_accepted_ones(tmp_path, shape):
    with pytest.raises(DataError, match=r"expected \(n, 1, 4, 3\), \(n, 4, 3\), \(n, 4, 3, 1\) or \(n, 12\)"):
        open_samples(saved(tmp_path, np.zeros(shape)), IMAGES)


def test_the_error_for_a_single_sample_names_the_first_axis(tmp_path):
    with pytest.raises(DataError, match="a single sample needs a first axis of length 1"):
        open_samples(saved(tmp_path, np.zeros((4, 3))), IMAGES)


def test_an_empty_array_is_refused(tmp_path):
    with pytest.raises(DataError, match="contains no samples"):
        open_samples(saved(tmp_path, np.zeros((0, 12))), IMAGES)


class Explosive:
    """Ends the process when it is unpickled."""

    def __reduce__(self):
        return exit, ("executed",)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_pickled_objects_are_never_loaded(tmp_path, suffix):
    array = np.array([Explosive()], dtype=object)
    path = tmp_path / f"x{suffix}"
    np.save(path, array) if suffix == ".npy" else np.savez(path, x=array)
    with pytest.raises(DataError, match="contains Python objects, which are never loaded"):
        open_samples(path, IMAGES)


@pytest.mark.parametrize("array", [np.array(["a"]), np.zeros((1, 12), complex), np.zeros(1, [("a", "f4")])])
def test_values_that_are_not_numbers_are_refused(tmp_path, array):
    with pytest.raises(DataError, match="expected numbers"):
        open_samples(saved(tmp_path, array), TABLE)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_error_for_a_value_that_is_not_finite_names_its_position(tmp_path, value):
    values = VALUES.astype(np.float32)
    values[7, 5] = value
    path = saved(tmp_path, values)
    with pytest.raises(DataError, match=rf"sample 7 \(from 0\), column 'f5': .*{value}"):
        list(open_samples(path, TABLE).batches())
    with pytest.raises(DataError, match=r"sample 7 \(from 0\), pixel \[0, 1, 2\]"):
        list(open_samples(path, IMAGES).batches())


def test_a_truncated_file_is_refused(tmp_path):
    path = saved(tmp_path, VALUES)
    path.write_bytes(path.read_bytes()[: 128 + 12 * 7 + 5])
    with pytest.raises(DataError, match="truncated; announces 10 samples but contains 7"):
        list(open_samples(path, IMAGES).batches())


def test_a_damaged_archive_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", x=VALUES)
    data = bytearray((tmp_path / "x.npz").read_bytes())
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        data[archive.infolist()[0].file_size // 2 + 60] ^= 0xFF
    (tmp_path / "x.npz").write_bytes(bytes(data))
    with pytest.raises(DataError, match="not a readable array file"):
        list(open_samples(tmp_path / "x.npz", IMAGES).batches())


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_file_of_another_format_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(DataError, match="not a readable array file"):
        open_samples(tmp_path / name, IMAGES)
