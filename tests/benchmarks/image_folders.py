"""Folders of 20,000 images of 64x64 pixels, decoded once: mlcli's preparation, and a DataLoader over an ImageFolder."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
from contest import Contestant, Fashion, Round, clock
from PIL import Image

from mlcli.config.dataset import DatasetConfig
from mlcli.data import own
from mlcli.data.load import load_dataset
from mlcli.data.prepared import torchvision_datasets

_N_IMAGES, _SIDE = 20_000, 64
_PARTS = ("train", "test")  # four fifths of the images, and one


def preparation(data: Fashion) -> Contestant:
    """Decode all images into a new data directory and fit the scaling, as `mlcli train` does; the parts are given."""
    photos, data_dir = _photos(data.folder), data.folder / "prepared-images"

    def one_preparation() -> Round:
        shutil.rmtree(data_dir, ignore_errors=True)
        own._known.clear()
        started = clock()
        dataset = load_dataset(DatasetConfig(path=str(photos)), data_dir=data_dir)
        seconds = clock() - started
        n_images = len(dataset.train) + len(dataset.test)
        return Round(None, n_images / _N_IMAGES, seconds)

    return one_preparation


def image_folder_loader(data: Fashion) -> Contestant:
    """Decode all images once, in batches of 256, with a process for each core."""
    from torch.utils.data import DataLoader

    datasets, photos = torchvision_datasets(), _photos(data.folder)
    from torchvision.transforms import PILToTensor

    def one_epoch() -> Round:
        started = clock()
        n_images = 0
        for part in _PARTS:
            images = datasets.ImageFolder(photos / part, transform=PILToTensor())
            n_images += sum(len(x) for x, _ in DataLoader(images, batch_size=256, num_workers=data.threads))
        seconds = clock() - started
        return Round(None, n_images / _N_IMAGES, seconds)

    return one_epoch


def _photos(folder: Path) -> Path:
    """Return a folder of JPEG files in two parts and ten classes, written by the first call."""
    photos = folder / "photos"
    if photos.exists():
        return photos
    generator = np.random.default_rng(0)
    for label in range(10):
        for part in _PARTS:
            (photos / part / f"class{label}").mkdir(parents=True)
        small = Image.fromarray(generator.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        base = np.asarray(small.resize((_SIDE, _SIDE), Image.Resampling.BICUBIC)).astype(np.int64)
        for number in range(_N_IMAGES // 10):
            pixels = (base + generator.integers(-20, 20, base.shape)).clip(0, 255).astype(np.uint8)
            part = _PARTS[number % 5 == 0]
            Image.fromarray(pixels).save(photos / part / f"class{label}" / f"{number:05}.jpg", quality=90)
    return photos
