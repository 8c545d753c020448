from __future__ import annotations

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data import own
from mlcli.data.load import load_dataset
from mlcli.data.own import drawn_images
from mlcli.memory import mapping_of
from tests.fixtures.photos import write_photos


def loaded(folder, log=lambda line: None, **settings):
    own._known.clear()
    return load_dataset(DatasetConfig(path=str(folder), **settings), data_dir=folder.parent / "data", log=log)


@pytest.fixture
def photos(tmp_path):
    return write_photos(tmp_path / "photos", n=20, suffixes=("png",))


def test_drawn_splits_that_are_too_large_for_the_memory_are_mapped_files_with_the_same_images(photos, monkeypatch):
    before, lines = loaded(photos, validation=0.25), []
    assert mapping_of(before.train.x) is None
    monkeypatch.setattr(drawn_images, "available_bytes", lambda: 1000)
    monkeypatch.setattr(drawn_images, "_BLOCK_BYTES", 1000)
    for n_copied in (3, 0):  # the second start uses the files of the first
        lines.clear()
        dataset = loaded(photos, lines.append, validation=0.25)
        for part in ("train", "validation", "test"):
            found, expected = getattr(dataset, part), getattr(before, part)
            np.testing.assert_array_equal(found.x, expected.x)
            np.testing.assert_array_equal(found.y, expected.y)
            assert mapping_of(found.x) is not None
            assert not found.x.flags.writeable
        assert len([line for line in lines if line.startswith("copying")]) == n_copied
        assert (dataset.fingerprint, dataset.split_digest) == (before.fingerprint, before.split_digest)


def test_the_training_images_of_a_folder_with_its_own_parts_are_never_copied(tmp_path):
    folder = write_photos(tmp_path / "photos", n=6, parts=("train", "test"), suffixes=("png",))
    dataset = loaded(folder)
    assert mapping_of(dataset.train.x) is not None
    assert mapping_of(dataset.test.x) is not None
