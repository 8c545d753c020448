"""Samples from files of every kind and from folders of images."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mlcli.errors import DataError, UsageError
from mlcli.predict import samples
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

BYTES = Preprocessing("image", (1, 6, 5), ("a", "b"), (), (0.0, 255.0), Scaling("unit", scale=255.0))
SIXTEEN = Preprocessing("image", (1, 6, 5), ("a", "b"), (), (0.0, 16.0), Scaling("unit", scale=16.0))
GREY = np.random.default_rng(0).integers(0, 256, (6, 5)).astype(np.uint8)


def read(path, expected=BYTES):
    source = open_samples(path, expected)
    batches = list(source.batches())
    names = tuple(name for batch in batches for name in batch.names)
    return np.concatenate([batch.x for batch in batches]), names, list(source.notes)


def test_one_file_is_read_unchanged(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "x.png")
    x, names, notes = read(tmp_path / "x.png")
    assert x.dtype == np.uint8
    assert np.array_equal(x, GREY[np.newaxis, np.newaxis])
    assert (names, notes) == (("x.png",), [])


def test_a_folder_is_read_in_order_of_names_and_skipped_files_are_noted(tmp_path, monkeypatch):
    monkeypatch.setattr(samples, "rows_per_batch", lambda expected: 2)
    for name, value in (("c.bmp", 3), ("a.PNG", 1), ("b.tif", 2)):
        Image.fromarray(np.full((6, 5), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "readme.txt").touch()
    x, names, notes = read(tmp_path)
    assert names == ("a.PNG", "b.tif", "c.bmp")
    assert x[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert notes == [f"skipped 1 of 4 files in {tmp_path}, which are not images"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_colours_become_grey_levels(tmp_path, mode):
    image = Image.fromarray(GREY).convert(mode)
    image.save(tmp_path / "x.png")
    x, _, _ = read(tmp_path / "x.png")
    assert np.array_equal(x[0, 0], np.asarray(image.convert("L")))


def test_grey_levels_are_scaled_to_the_value_range_of_the_run(tmp_path):
    Image.fromarray(np.full((6, 5), 255, np.uint8)).save(tmp_path / "x.png")
    x, _, notes = read(tmp_path / "x.png", SIXTEEN)
    assert np.all(x == 16)
    assert notes == ["grey levels 0 to 255 were scaled to 0 to 16, the value range of the run"]


def test_another_size_is_refused_with_the_expected_one(tmp_path):
    Image.fromarray(GREY.T.copy()).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: 6x5 pixels, expected 5x6"):
        read(tmp_path / "x.png")


def test_pixels_of_more_than_eight_bits_are_refused(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 200).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="expected 8-bit grey levels"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("n_bytes", [0, 20, 60])
def test_a_truncated_image_is_refused(tmp_path, n_bytes):
    Image.fromarray(GREY).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(data[:n_bytes])
    with pytest.raises(DataError, match=r"x\.png: not a readable image"):
        read(tmp_path / "x.png")


def test_a_folder_without_images_and_a_run_on_tables_are_refused(tmp_path):
    with pytest.raises(DataError, match="no image directly in this folder"):
        open_samples(tmp_path, BYTES)
    Image.fromarray(GREY).save(tmp_path / "x.png")
    table = Preprocessing("table", (2,), ("a", "b"), ("left", "right"), None, Scaling("none"))
    with pytest.raises(DataError, match=r"expects tables \(left, right\), not images"):
        open_samples(tmp_path / "x.png", table)


def test_missing_files_and_unknown_formats_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such file or folder"):
        open_samples(tmp_path / "x.npy", BYTES)
    (tmp_path / "x.xlsx").touch()
    with pytest.raises(UsageError, match=r"use .npy, .npz, .csv, .parquet, an image or a folder of images"):
        open_samples(tmp_path / "x.xlsx", BYTES)
    np.save(tmp_path / "x.npy", GREY[np.newaxis])
    with pytest.raises(UsageError, match="--array x"):
        open_samples(tmp_path / "x.npy", BYTES, array="x")
