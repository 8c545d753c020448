from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from mlcli.data.own.image_file import BadImageError, DecodedImage, image_pixels
from tests.fixtures.photos import picture, save


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "webp"])
def test_lossless_formats_give_the_pixels_that_were_stored(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    save(path, picture(), **{"lossless": True} if suffix == "webp" else {})
    assert (image_pixels(path, 3, (6, 8)) == picture().transpose(2, 0, 1)).all()
    assert (DecodedImage(path).size, DecodedImage(path).mode, DecodedImage(path).is_grey) == ((6, 8), "RGB", False)


def test_the_content_decides_the_format_and_not_the_suffix(tmp_path):
    Image.fromarray(picture()).save(tmp_path / "x.jpg", "PNG")
    assert (image_pixels(tmp_path / "x.jpg", 3, (6, 8)) == picture().transpose(2, 0, 1)).all()


def test_an_image_is_resized_as_a_whole_as_pillow_does_it(tmp_path):
    save(tmp_path / "x.png", picture(height=40, width=30))
    expected = Image.fromarray(picture(height=40, width=30)).resize((7, 5), Image.Resampling.BILINEAR)
    assert (image_pixels(tmp_path / "x.png", 3, (5, 7)) == np.asarray(expected).transpose(2, 0, 1)).all()


def test_an_image_is_turned_as_its_orientation_says(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    save(tmp_path / "x.png", picture(), exif=exif)
    assert DecodedImage(tmp_path / "x.png", header_only=True).size == (8, 6)
    assert (image_pixels(tmp_path / "x.png", 3, (8, 6)) == np.rot90(picture(), -1).transpose(2, 0, 1)).all()


def test_sixteen_bits_become_eight_and_keep_the_scale(tmp_path):
    save(tmp_path / "x.png", np.array([[0, 257, 65535]], dtype=np.uint16))
    assert image_pixels(tmp_path / "x.png", 1, (1, 3)).tolist() == [[[0, 1, 255]]]
    assert image_pixels(tmp_path / "x.png", 3, (1, 3))[:, 0, 2].tolist() == [255, 255, 255]


def test_palettes_and_alpha_become_plain_colours(tmp_path):
    Image.fromarray(picture()).quantize(4).save(tmp_path / "p.png")
    Image.fromarray(picture(channels=1)).quantize(4).save(tmp_path / "grey.png")
    rgba = np.dstack([picture(), np.zeros((6, 8), np.uint8)])
    save(tmp_path / "a.png", rgba)
    assert (DecodedImage(tmp_path / "p.png").mode, DecodedImage(tmp_path / "p.png").is_grey) == ("P", False)
    assert DecodedImage(tmp_path / "grey.png").is_grey
    assert len(np.unique(image_pixels(tmp_path / "p.png", 3, (6, 8)).reshape(3, -1), axis=1).T) <= 4
    assert (image_pixels(tmp_path / "a.png", 3, (6, 8)) == picture().transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image of a known format"),
        (b"not an image", "not an image of a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "not an image of a known format"),
    ],
)
def test_what_is_no_image_is_refused_with_the_reason(tmp_path, content, reason):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(BadImageError, match=reason):
        DecodedImage(tmp_path / "x.png")


def test_damaged_and_huge_images_are_refused(tmp_path, monkeypatch):
    save(tmp_path / "x.png", picture(height=60, width=80))
    content = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(BadImageError, match="truncated"):
        DecodedImage(tmp_path / "cut.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(BadImageError, match="decompression bomb"):
        DecodedImage(tmp_path / "x.png")
    with pytest.raises(BadImageError, match="No such file"):
        DecodedImage(tmp_path / "missing.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(BadImageError, match="not a regular file"):
        DecodedImage(tmp_path / "pipe.png")
    Image.new("F", (2, 2)).save(tmp_path / "f.tif")
    with pytest.raises(BadImageError, match="pixels of mode F"):
        DecodedImage(tmp_path / "f.tif")
