"""A folder of images, listed: photos/<class>/x.jpg, or photos/{train,validation,test}/<class>/x.jpg.

Hidden files and folders are ignored, other files than images with a note. Links are followed, wherever they lead: the
folder is its owner's.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcli.data.own.files import location_of
from mlcli.data.own.image_file import IMAGE_SUFFIXES
from mlcli.data.own.labels import MAX_CLASSES, similar_labels, sorted_labels
from mlcli.errors import DataError
from mlcli.text import escaped, listed

# The names, in any case, of folders that hold a part each.
_PARTS = {"train": "train", "test": "test"} | dict.fromkeys(("val", "valid", "validation"), "validation")
_HIDDEN = (".", "__MACOSX")
_N_SHOWN = 6
_MAX_NAME = 100  # characters of the name of a class


@dataclass(frozen=True)
class ListedImage:
    """An image file: its path relative to the folder, its class from 0, its bytes and the time it was changed."""

    name: str
    label: int
    n_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class ImageFolder:
    """The files of a folder of images. parts: train, and validation and test if the folder has them."""

    path: Path
    class_names: tuple[str, ...]
    parts: dict[str, tuple[ListedImage, ...]]
    notes: tuple[str, ...]

    @property
    def location(self) -> str:
        """The path as messages show it."""
        return location_of(self.path)

    @property
    def digest(self) -> str:
        """The sha256 (hex) of the names, classes, sizes and times of all files."""
        rows = [
            [part, self.class_names, [(image.name, image.n_bytes, image.mtime_ns) for image in images]]
            for part, images in self.parts.items()
        ]
        return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()

    def labels(self, part: str) -> NDArray[np.int64]:
        """Return the class of each image of a part, int64 (n,)."""
        return np.array([image.label for image in self.parts[part]], dtype=np.int64)


def list_image_folder(path: Path, class_names: tuple[str, ...] | None = None) -> ImageFolder:
    """Return the images of a folder by part and class, in order of their names.

    class_names: the classes that exist, of which the folder may lack some; None: found in the folder, sorted. DataError
    for a folder without classes or with one, an empty class, images or folders where none are expected, and classes
    that differ between the parts.
    """
    notes: list[str] = []
    folders = {part: _class_folders(folder, notes) for part, folder in _part_folders(path, notes).items()}
    found = sorted({escaped(name, _MAX_NAME) for classes in folders.values() for name in classes})
    if class_names is None:
        class_names = tuple(sorted_labels([escaped(name, _MAX_NAME) for name in folders["train"]]))
        _check_classes(path, class_names, folders)
        notes += similar_labels(class_names)
    elif unknown := [repr(name) for name in found if name not in class_names]:
        raise DataError(f"{location_of(path)}: folders that are no classes of the run: {listed(unknown, _N_SHOWN)}")
    parts = {part: _images(path, classes, class_names, notes) for part, classes in folders.items()}
    return ImageFolder(path, class_names, parts, tuple(notes))


def _part_folders(path: Path, notes: list[str]) -> dict[str, Path]:
    """Return the folder of each part, the training part first; without such folders, the whole is the training part.

    A folder `train` holds a part if there are folders in it, else it is a class of that name.
    """
    folders = _entries(path)[0]
    parts: dict[str, Path] = {}
    for name in folders:
        part = _PARTS.get(name.lower())
        if part and _entries(path / name)[0]:
            if part in parts:
                raise DataError(
                    f"{location_of(path)}: both {parts[part].name} and {name} hold {part} images; join them"
                )
            parts[part] = path / name
    if not parts:
        return {"train": path}
    if "train" not in parts:
        raise DataError(
            f"{location_of(path)}: {listed(list(folders), _N_SHOWN)}, but no folder train with class folders"
        )
    others = [name for name in folders if path / name not in parts.values()]
    if others:
        raise DataError(
            f"{location_of(path)}: folders next to {parts['train'].name} that are no part of the data: "
            f"{listed(others, _N_SHOWN)}\nexpected train, validation and test, each with class folders"
        )
    _note_files(path, notes)
    return {part: parts[part] for part in ("train", "validation", "test") if part in parts}


def _class_folders(folder: Path, notes: list[str]) -> dict[str, Path]:
    folders, files = _entries(folder)
    if not folders:
        what = "images, but no class folders" if any(map(_is_image, files)) else "no class folders"
        raise DataError(f"{location_of(folder)}: {what}; expected {folder.name}/<class>/ with the images of each class")
    _note_files(folder, notes)
    return {name: folder / name for name in folders}


def _check_classes(path: Path, class_names: tuple[str, ...], folders: dict[str, dict[str, Path]]) -> None:
    location = location_of(path)
    if len(set(class_names)) < len(folders["train"]):
        raise DataError(f"{location}: two class folders have the same name when it is printed; rename one of them")
    if len(class_names) == 1:
        raise DataError(f"{location}: one class folder, {class_names[0]!r}; a classifier needs two classes or more")
    if len(class_names) > MAX_CLASSES:
        raise DataError(f"{location}: {len(class_names):,} class folders; at most {MAX_CLASSES:,} are supported")
    for part, classes in folders.items():
        differing = [repr(escaped(name)) for name in sorted(classes.keys() ^ folders["train"].keys())]
        if differing:
            raise DataError(
                f"{location}: class folders that are only in train or only in {part}: {listed(differing, _N_SHOWN)}\n"
                "give both the same classes"
            )


def _images(
    path: Path, classes: dict[str, Path], class_names: tuple[str, ...], notes: list[str]
) -> tuple[ListedImage, ...]:
    images = []
    for name in sorted(classes, key=lambda name: class_names.index(escaped(name, _MAX_NAME))):
        inner, files = _entries(classes[name])
        if inner:
            raise DataError(
                f"{location_of(classes[name])}: a folder in a class folder: {listed(list(inner), _N_SHOWN)}\n"
                "put all images of a class directly into its folder"
            )
        label = class_names.index(escaped(name, _MAX_NAME))
        start = os.path.relpath(classes[name], path)
        found = [
            ListedImage(os.path.join(start, file), label, *version)
            for file, version in files.items()
            if _is_image(file)
        ]
        if not found:
            raise DataError(
                f"{location_of(classes[name])}: the class folder contains no image\nadd images, or remove it"
            )
        _note_others(classes[name], files, notes)
        images += found
    return tuple(images)


def _note_files(folder: Path, notes: list[str]) -> None:
    files = _entries(folder)[1]
    n_images = sum(map(_is_image, files))
    if n_images:
        notes.append(f"ignored images in {location_of(folder)} itself, not in a class folder: {n_images:,}")
    _note_others(folder, files, notes)


def _note_others(folder: Path, files: Iterable[str], notes: list[str]) -> None:
    others = [escaped(file) for file in files if not _is_image(file)]
    if others:
        notes.append(f"ignored files in {location_of(folder)} that are not named as images: {listed(others, 3)}")


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES)


def _entries(folder: Path) -> tuple[tuple[str, ...], dict[str, tuple[int, int]]]:
    """Return the names of the folders in a folder, and (bytes, mtime in ns) of its files by name, both sorted.

    What is hidden is left out; what cannot be examined, such as a link to nothing, has -1 bytes.
    """
    folders, files = [], {}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(_HIDDEN):
                    continue
                if entry.is_dir():
                    folders.append(entry.name)
                else:
                    files[entry.name] = _version(entry)
    except OSError as error:
        raise DataError(f"{location_of(folder)}: cannot be read: {error.strerror or error}") from error
    return tuple(sorted(folders)), dict(sorted(files.items()))


def _version(entry: os.DirEntry[str]) -> tuple[int, int]:
    try:
        status = entry.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns
