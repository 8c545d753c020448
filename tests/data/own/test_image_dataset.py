from __future__ import annotations

import os
import shutil

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data import own
from mlcli.data.load import load_dataset
from mlcli.data.own import image_dataset
from mlcli.data.own.image_file import DecodedImage, image_pixels
from mlcli.errors import DataError, UsageError
from tests.fixtures.photos import picture, save, write_photos


def loaded(folder, log=lambda line: None, **settings):
    """Return the dataset of a folder as a new process would; prepared data is next to the folder."""
    own._known.clear()
    settings = {"path": str(folder)} | settings
    return load_dataset(DatasetConfig.model_validate(settings), data_dir=folder.parent / "data", log=log)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", suffixes=("png",))


def test_images_of_one_size_keep_it_and_a_fifth_is_for_testing(photos):
    dataset = loaded(photos)
    assert (dataset.info.input_shape, dataset.info.class_names, dataset.info.maximum) == (
        (3, 6, 8),
        ("cat", "dog"),
        255,
    )
    assert (len(dataset.train), len(dataset.test), dataset.validation) == (8, 2, None)
    whole = {image.tobytes() for image in np.concatenate([dataset.train.x, dataset.test.x])}
    assert whole == {picture(label, n).transpose(2, 0, 1).tobytes() for label in (0, 1) for n in range(5)}
    assert "images: colours, all of 6x8" in dataset.notes
    assert (dataset.scaling.kind, dataset.scaling.scale) == ("unit", 255)


def test_every_part_has_its_folder_and_class(tmp_path):
    folder = write_photos(tmp_path / "p", n=3, parts=("train", "val", "test"), suffixes=("png",))
    dataset = loaded(folder)
    assert [len(part) for part in (dataset.train, dataset.validation, dataset.test)] == [6, 6, 6]
    assert dataset.test.y.tolist() == [0, 0, 0, 1, 1, 1]
    assert (dataset.test.x[3] == picture(1, 2000).transpose(2, 0, 1)).all()


@pytest.mark.parametrize(
    ("settings", "shape", "note"),
    [
        ({}, (3, 64, 64), "resized to 64x64, which --image-size changes"),
        ({"image_size": "5x7"}, (3, 5, 7), "resized to 5x7"),
        ({"image_size": 9, "channels": 1}, (1, 9, 9), "grey levels, resized to 9x9"),
    ],
)
def test_images_of_several_sizes_are_resized(photos, settings, shape, note):
    save(photos / "cat" / "0.png", picture(0, 0, height=7))
    dataset = loaded(photos, **settings)
    assert dataset.info.input_shape == shape
    assert note in dataset.notes[0]
    expected = {image_pixels(path, shape[0], shape[1:]).tobytes() for path in photos.glob("*/*.png")}
    assert {image.tobytes() for image in np.concatenate([dataset.train.x, dataset.test.x])} == expected


def test_images_are_grey_unless_a_training_image_is_coloured(tmp_path, monkeypatch):
    folder = write_photos(tmp_path / "p", n=3, parts=("train", "test"), suffixes=("png",), channels=1)
    save(folder / "test" / "cat" / "0.png", picture())
    assert loaded(folder).info.input_shape == (1, 6, 8)
    save(folder / "train" / "dog" / "2.png", picture(1, 2, width=9))
    monkeypatch.setattr(image_dataset, "_N_SAMPLED", 1)  # so that the last image contradicts the sample
    assert loaded(folder).info.input_shape == (3, 64, 64)
    large = write_photos(tmp_path / "large", n=2, suffixes=("png",), height=257)
    assert loaded(large).info.input_shape == (3, 64, 64)


def test_a_second_start_decodes_nothing_and_an_altered_image_is_noticed(photos, monkeypatch):
    before = loaded(photos)
    monkeypatch.setattr(DecodedImage, "_read", None)  # decoding would fail now
    again = loaded(photos)
    assert (again.train.x == before.train.x).all()
    assert (again.fingerprint, again.split_digest, again.notes) == (
        before.fingerprint,
        before.split_digest,
        before.notes,
    )
    monkeypatch.undo()
    save(photos / "cat" / "0.png", picture(2, 0))
    assert loaded(photos).fingerprint != before.fingerprint


def test_the_fingerprint_is_that_of_the_content(photos, tmp_path):
    before = loaded(photos).fingerprint
    for path in photos.glob("*/*"):
        os.utime(path, (1, 1))
    moved = tmp_path / "moved"
    shutil.move(photos, moved)
    assert loaded(moved).fingerprint == before
    assert loaded(moved, image_size=5).fingerprint != before


def test_damaged_images_stop_or_are_left_out(photos):
    intact = loaded(photos)
    (photos / "cat" / "3b.png").write_text("no image")
    (photos / "dog" / "9.png").write_bytes((photos / "dog" / "0.png").read_bytes()[:60])
    with pytest.raises(DataError) as error:
        loaded(photos)
    assert "2 damaged images: cat/3b.png (not an image of a known format), dog/9.png (" in str(error.value)
    assert "--on-bad skip" in str(error.value)
    dataset = loaded(photos, on_bad="skip")
    assert any(note.startswith("skipped 2 damaged images: cat/3b.png") for note in dataset.notes)
    assert (dataset.train.x == intact.train.x).all()
    assert dataset.fingerprint == intact.fingerprint


def test_only_the_first_ten_damaged_images_are_listed_and_a_class_of_them_is_refused(photos):
    for number in range(12):
        (photos / "cat" / f"bad{number:02}.png").touch()
    with pytest.raises(DataError, match=r"12 damaged images: .*bad09.png \([^)]*\) and 2 more\n"):
        loaded(photos)
    for path in photos.glob("dog/*"):
        path.write_text("")
    with pytest.raises(DataError, match="these are all images of classes in train: 'dog'"):
        loaded(photos, on_bad="skip")


def test_a_folder_that_does_not_exist_is_said_to_be_missing(tmp_path):
    with pytest.raises(DataError, match="photos: no such file or folder"):
        loaded(tmp_path / "photos")


def test_what_is_only_for_tables_and_single_images_are_refused(photos):
    with pytest.raises(UsageError, match="dataset.target: only for tables, and .* is a folder of images"):
        loaded(photos, target="cat")
    for path in list(photos.glob("dog/*"))[1:]:
        path.unlink()
    with pytest.raises(DataError, match="classes with one image, .*: 'dog'"):
        loaded(photos)
    assert len(loaded(photos, test="train").train) == 6
