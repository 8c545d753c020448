from __future__ import annotations

import multiprocessing
import os

import numpy as np
import pytest

from mlcli.data.own import image_preparation
from mlcli.data.own.image_folder import list_image_folder
from mlcli.data.own.image_preparation import prepare, read_summary
from tests.fixtures.photos import write_photos


@pytest.fixture
def folder(tmp_path):
    path = write_photos(tmp_path / "p", n=7)
    (path / "cat" / "2a.png").write_text("")
    return list_image_folder(path)


def prepared(folder, target, on_found=lambda part, found: None, log=lambda line: None):
    target.mkdir()
    prepare(target, folder, (3, 6, 8), on_found=on_found, log=log)
    return np.load(target / "train_images.npy"), np.load(target / "train_labels.npy")


def test_processes_give_what_one_process_gives_in_blocks_of_any_size(folder, tmp_path, monkeypatch):
    x, y = prepared(folder, tmp_path / "one")
    assert (x.shape, y.tolist()) == ((14, 3, 6, 8), [0] * 7 + [1] * 7)
    monkeypatch.setattr(image_preparation, "_BLOCK_IMAGES", 4)
    monkeypatch.setattr(image_preparation, "_MIN_IMAGES_OF_POOL", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    again, _ = prepared(folder, tmp_path / "two")
    assert (again == x).all()
    assert read_summary(tmp_path / "one") == read_summary(tmp_path / "two")
    assert read_summary(tmp_path / "one")[1]["train"].bad == [("cat/2a.png", "not an image of a known format")]


def test_an_interruption_ends_the_processes(folder, tmp_path, monkeypatch):
    def interrupt(part, found):
        raise KeyboardInterrupt

    monkeypatch.setattr(image_preparation, "_MIN_IMAGES_OF_POOL", 1)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, tmp_path / "stopped", interrupt)
    assert not [child for child in multiprocessing.active_children() if child.is_alive()]


def test_progress_has_the_rate_and_the_remaining_time(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(image_preparation, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr(image_preparation, "_BLOCK_IMAGES", 5)
    lines = []
    prepared(folder, tmp_path / "t", log=lines.append)
    assert [line.split(": ")[1].split(",")[0] for line in lines] == ["33%", "67%", "100%"]
    assert all("images/s" in line and line.endswith(" s left") for line in lines)
    assert os.path.basename(folder.location) in lines[0]
