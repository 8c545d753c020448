"""Samples from image files."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from mlcli.errors import DataError
from mlcli.predict import image_reader as sample_images
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


def test_one_file_comes_as_it_is(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "x.png")
    x, names, notes = read(tmp_path / "x.png")
    assert x.dtype == np.uint8
    assert np.array_equal(x, GREY[np.newaxis, np.newaxis])
    assert (names, notes) == (("x.png",), [])


def test_a_folder_comes_in_the_order_of_names_and_says_what_it_left_out(tmp_path, monkeypatch):
    monkeypatch.setattr(sample_images, "rows_per_batch", lambda expected: 2)
    for name, value in (("c.bmp", 3), ("a.PNG", 1), ("b.tif", 2)):
        Image.fromarray(np.full((6, 5), value, np.uint8)).save(tmp_path / name)
    (tmp_path / "readme.txt").touch()
    x, names, notes = read(tmp_path)
    assert names == ("a.PNG", "b.tif", "c.bmp")
    assert x[:, 0, 0, 0].tolist() == [1, 2, 3]
    assert notes == [f"1 of 4 files in {tmp_path} are no images and were left out"]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "LA", "1"])
def test_colours_become_grey_levels(tmp_path, mode):
    image = Image.fromarray(GREY).convert(mode)
    image.save(tmp_path / "x.png")
    x, _, _ = read(tmp_path / "x.png")
    assert np.array_equal(x[0, 0], np.asarray(image.convert("L")))


def test_white_becomes_the_white_of_the_run(tmp_path):
    Image.fromarray(np.full((6, 5), 255, np.uint8)).save(tmp_path / "x.png")
    x, _, notes = read(tmp_path / "x.png", SIXTEEN)
    assert np.all(x == 16)
    assert notes == ["grey levels 0 to 255 were brought to 0 to 16, the range of the run's data"]


def test_another_size_is_refused_with_the_right_one(tmp_path):
    Image.fromarray(GREY.T.copy()).save(tmp_path / "x.png")
    with pytest.raises(DataError, match=r"x\.png: 6x5 pixels, expected 5x6"):
        read(tmp_path / "x.png")


def test_more_than_eight_bits_would_be_cut_off_and_are_refused(tmp_path):
    Image.fromarray(GREY.astype(np.uint16) * 200).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="expected 8-bit grey levels"):
        read(tmp_path / "x.png")


@pytest.mark.parametrize("n_bytes", [0, 20, 60])
def test_a_file_that_is_not_whole(tmp_path, n_bytes):
    Image.fromarray(GREY).save(tmp_path / "x.png")
    data = (tmp_path / "x.png").read_bytes()
    (tmp_path / "x.png").write_bytes(data[:n_bytes])
    with pytest.raises(DataError, match=r"x\.png: not an image that can be read"):
        read(tmp_path / "x.png")


def test_a_folder_without_images_and_a_run_without_pixels(tmp_path):
    with pytest.raises(DataError, match="no image directly in this folder"):
        open_samples(tmp_path, BYTES)
    Image.fromarray(GREY).save(tmp_path / "x.png")
    table = Preprocessing("table", (2,), ("a", "b"), ("left", "right"), None, Scaling("none"))
    with pytest.raises(DataError, match=r"takes tables \(left, right\), not images"):
        open_samples(tmp_path / "x.png", table)
