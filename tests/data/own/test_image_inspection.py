from __future__ import annotations

import shutil

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.config.experiment import load_experiment
from mlcli.data.own.initial_config import init
from mlcli.data.own.inspection import InspectRequest, inspected
from tests.fixtures.photos import picture, save, write_photos


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path / "data"))
    return write_photos(tmp_path / "photos", n=12, parts=("train", "test"), suffixes=("png",))


def test_clean_images_have_no_findings(photos):
    inspection = inspected(DatasetConfig(path=str(photos)))
    assert inspection.findings == ()
    assert inspection.class_counts == {"cat": 24, "dog": 24}
    assert (inspection.n_rows, inspection.n_train_rows, inspection.image_shape) == (48, 24, (3, 6, 8))
    assert [(part.part, part.n_images, part.sizes, part.modes) for part in inspection.images] == [
        ("train", 24, "6x8 (24)", "RGB (24)"),
        ("test", 24, "6x8 (24)", "RGB (24)"),
    ]


def test_what_looks_wrong_is_said_with_what_to_do(photos):
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "test" / "cat" / "copy.png")
    shutil.copy(photos / "train" / "cat" / "3.png", photos / "train" / "dog" / "copy.png")
    save(photos / "train" / "dog" / "icon.png", np.dstack([picture(1, 50), np.zeros((6, 8), np.uint8)]))
    (photos / "train" / "dog" / "bad.png").write_text("")
    assert inspected(DatasetConfig(path=str(photos))).findings == (
        "1 damaged image: train/dog/bad.png (not an image of a known format): repair or remove them, or set "
        "dataset.on_bad to skip",
        "images with an alpha channel: 1; it is ignored, and what is transparent counts with its stored colour: save "
        "them on a background",
        "1 of 25 test images are equal to a training image: test scores are too good; remove repeated images",
        "training images that are equal to one of another class: 1; keep one of them",
    )


def test_the_printed_configuration_loads_and_means_what_was_found(photos, tmp_path):
    (photos / "train" / "dog" / "bad.png").write_text("")
    (tmp_path / "photos.yaml").write_text(init(InspectRequest(photos)))
    config = load_experiment(tmp_path / "photos.yaml").dataset
    assert (config.image_size, config.channels, config.on_bad) == ((6, 8), 3, "skip")
    assert config.path == str(photos)


def test_images_are_prepared_in_the_data_directory_that_is_given(photos, tmp_path):
    assert "model: cnn" in init(InspectRequest(photos, data_dir=tmp_path / "other"))
    assert list((tmp_path / "other").rglob("train_images.npy"))
    assert not (tmp_path / "data").exists()
