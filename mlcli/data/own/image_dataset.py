"""The dataset of a person's own folder of images: listed, decoded once into the data directory, split and scaled.

If the configuration does not say it, images keep their size if all training images have the same one and it is at most
256x256, else they become 64x64; they have three channels if one of the training images has colours.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mlcli import __version__
from mlcli.config.dataset import DatasetConfig
from mlcli.data.cached_folder import cached_folder
from mlcli.data.directory import data_directory
from mlcli.data.own.drawn_images import DrawnImages
from mlcli.data.own.files import location_of
from mlcli.data.own.image_file import BadImageError, DecodedImage, without_remarks
from mlcli.data.own.image_folder import ImageFolder, list_image_folder
from mlcli.data.own.image_preparation import Found, Shape, bad_images, prepare, read_summary
from mlcli.data.preprocessing import is_scored_whole, preprocess
from mlcli.data.source import Log, SourceData, fingerprint
from mlcli.data.splits import unsplit
from mlcli.errors import DataError, UsageError
from mlcli.records import Dataset, DatasetInfo, ImageDecoding, Preprocessing, Split
from mlcli.text import escaped, listed

DEFAULT_SIZE = 64
LARGEST_OWN_SIZE = 256
_SHAPE_FILE = "shape.json"
_N_SAMPLED = 100  # images of which the header is read before all are decoded
_MAX_NOTE = 900  # characters; the record of a run has a limit
_N_SHOWN = 6


@dataclass(frozen=True, eq=False)
class OwnImages:
    """A folder of images, what was found in its files by part, all its samples by part, and their dataset."""

    folder: ImageFolder
    found: Mapping[str, Found]
    samples: Mapping[str, Split]
    dataset: Dataset


def image_dataset(config: DatasetConfig, folder: ImageFolder, data_dir: Path | None, log: Log) -> Dataset:
    """Return the dataset of a listed folder of images.

    UsageError for settings that only tables have, DataError for damaged images.
    """
    return _own_images(config, folder, data_dir, log).dataset


def read_own_images(config: DatasetConfig, data_dir: Path | None = None, log: Log = lambda _: None) -> OwnImages:
    """Return the images of the folder of a configuration; raises what `image_dataset` raises."""
    return _own_images(config, list_image_folder(Path(config.path or "")), data_dir, log)


def _own_images(config: DatasetConfig, folder: ImageFolder, data_dir: Path | None, log: Log) -> OwnImages:
    for key in ("target", "columns", "group", "time", "split_column", "test_path", "validation_path"):
        if getattr(config, key):
            raise UsageError(
                f"dataset.{key}: only for tables, and {location_of(Path(config.path or ''))} is a folder of images "
                f"with a folder for each class; remove {key}"
            )
    return _prepared(folder, _shape(folder, config, data_dir, log), config, data_dir, log)


def stored_images(
    config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None, data_dir: Path | None
) -> Dataset:
    """Return the dataset of the folder of a configuration, with classes, size and channels of a run.

    trained_on: see `stored_dataset`. UsageError for what is no folder, DataError for class folders that are no classes
    of the run.
    """
    path = Path(config.path or "")
    if path.is_file():
        raise UsageError(f"{config.path}: the run was trained on a folder of images; name a folder")
    folder = list_image_folder(path, preprocessing.class_names)
    channels, height, width = preprocessing.input_shape
    return _prepared(folder, (channels, height, width), config, data_dir, lambda _: None, trained_on).dataset


def _prepared(
    folder: ImageFolder,
    shape: Shape,
    config: DatasetConfig,
    data_dir: Path | None,
    log: Log,
    trained_on: str | None = None,
) -> OwnImages:
    path = _prepared_folder(folder, shape, config, data_dir, _Automatic(), log)
    digests, found = read_summary(path)
    bad = [one for part in found.values() for one in part.bad]
    if bad and config.on_bad == "stop":
        raise DataError(
            f"{folder.location}: {bad_images(len(bad), bad)}\n"
            "repair or remove them, or leave them out with --on-bad skip (dataset.on_bad)"
        )
    arrays = {name: np.asarray(np.load(path / f"{name}.npy", mmap_mode="r")) for name in digests}
    samples = {part: Split(arrays[f"{part}_images"], arrays[f"{part}_labels"]) for part in folder.parts}
    info = DatasetInfo(
        name=config.label,
        kind="image",
        input_shape=shape,
        class_names=folder.class_names,
        feature_names=(),
        n_train=len(samples["train"]),
        n_test=len(samples.get("test", ())),
        n_validation=len(samples.get("validation", ())),
        title=folder.location,
        decoding=ImageDecoding(),
        maximum=255.0,
    )
    content = fingerprint(arrays, digests)
    train = DrawnImages(arrays["train_images"], digests["train_images"], data_dir, log).split(samples["train"].y)
    data = SourceData(train, samples.get("test"), content, samples.get("validation"))
    is_whole = is_scored_whole(data, trained_on)
    if "test" not in samples and config.test != "train" and not is_whole:
        _check_counts(folder, samples["train"])
    dataset = preprocess(data, info, config, unsplit(len(data.train)) if is_whole else None)
    notes = [escaped(note, _MAX_NOTE) for note in (*_notes(found, info), *folder.notes)]
    return OwnImages(folder, found, samples, replace(dataset, notes=(*dataset.notes, *notes)))


def _check_counts(folder: ImageFolder, train: Split) -> None:
    counts = np.bincount(train.y, minlength=len(folder.class_names)).tolist()
    rare = [repr(name) for name, n in zip(folder.class_names, counts, strict=True) if n == 1]
    if rare:
        raise DataError(
            f"{folder.location}: classes with one image, which cannot be in both training and test data: "
            f"{listed(rare, _N_SHOWN)}\nadd images, or remove the class"
        )


def _notes(found: Mapping[str, Found], info: DatasetInfo) -> list[str]:
    channels, height, width = info.input_shape
    sizes = sorted({size for part in found.values() for size in part.sizes})
    levels = "grey levels" if channels == 1 else "colours"
    if sizes == [f"{height}x{width}"]:
        size = f"all of {height}x{width}"
    else:
        size = f"resized to {height}x{width}, which --image-size changes (dataset.image_size)"
    bad = [one for part in found.values() for one in part.bad]
    return [f"images: {levels}, {size}", *([f"skipped {bad_images(len(bad), bad)}"] if bad else [])]


@dataclass
class _Automatic:
    """What the configuration leaves open, and what was found about it in training images until now."""

    has_size: bool = False
    has_channels: bool = False
    is_coloured: bool = False
    sizes: frozenset[str] = frozenset()

    def learn(self, sizes: frozenset[str], *, is_coloured: bool) -> None:
        """Remember what was found in further images."""
        self.sizes |= sizes
        self.is_coloured |= is_coloured

    def shape(self, config: DatasetConfig) -> Shape:
        """Return the shape that the rules give by what is known."""
        height, width = config.image_size or (DEFAULT_SIZE, DEFAULT_SIZE)
        if self.has_size and len(self.sizes) == 1:
            height, width = self._own_size(*map(int, next(iter(self.sizes)).split("x")))
        return config.channels or (3 if self.is_coloured else 1), height, width

    @staticmethod
    def _own_size(height: int, width: int) -> tuple[int, int]:
        return (height, width) if max(height, width) <= LARGEST_OWN_SIZE else (DEFAULT_SIZE, DEFAULT_SIZE)


class _OtherShapeError(Exception):
    """Images have another shape than was expected by those that were seen before."""


def _shape(folder: ImageFolder, config: DatasetConfig, data_dir: Path | None, log: Log) -> Shape:
    """Return (channels, height, width) of samples: as configured, else by all training images, and remembered."""
    if config.image_size and config.channels:
        return config.channels, *config.image_size

    def find(target: Path) -> None:
        (target / _SHAPE_FILE).write_text(json.dumps(_found_shape(folder, config, data_dir, log)), encoding="ascii")

    key = {"shape_of": folder.digest, "image_size": config.image_size, "channels": config.channels} | _VERSION
    path = cached_folder(data_directory(data_dir), key, find, log)
    channels, height, width = json.loads((path / _SHAPE_FILE).read_text(encoding="ascii"))
    return channels, height, width


_VERSION = {"mlcli": __version__, "images": 1}


def _found_shape(folder: ImageFolder, config: DatasetConfig, data_dir: Path | None, log: Log) -> Shape:
    """Decode the folder under the shape that a sample of its images suggests, again if other images contradict it."""
    automatic = _Automatic(has_size=config.image_size is None, has_channels=config.channels is None)
    images = folder.parts["train"]
    for image in images[:: max(1, len(images) // _N_SAMPLED)]:
        try:
            with without_remarks():
                header = DecodedImage(folder.path / image.name, header_only=True)
        except BadImageError:
            continue
        automatic.learn(frozenset({"x".join(map(str, header.size))}), is_coloured=not header.is_grey)
    while True:
        shape = automatic.shape(config)
        try:
            _prepared_folder(folder, shape, config, data_dir, automatic, log)
        except _OtherShapeError:
            continue
        return shape


def _prepared_folder(
    folder: ImageFolder, shape: Shape, config: DatasetConfig, data_dir: Path | None, automatic: _Automatic, log: Log
) -> Path:
    def check(part: str, found: Found) -> None:
        if part != "train" or not (automatic.has_size or automatic.has_channels):
            return
        automatic.learn(frozenset(found.sizes), is_coloured=found.n_coloured > 0)
        if automatic.shape(config) != shape:
            raise _OtherShapeError

    build = partial(prepare, folder=folder, shape=shape, on_found=check, log=log)
    key = {"folder": folder.digest, "shape": shape} | _VERSION
    return cached_folder(data_directory(data_dir), key, build, log)
