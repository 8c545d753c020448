"""A person's own data, described by the configuration and its files alone; nothing is registered."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlcli.config.dataset import DatasetConfig
from mlcli.config.layers import FILES
from mlcli.data.own.files import Version, location_of, version_of
from mlcli.data.source import Log
from mlcli.errors import DataError, UsageError
from mlcli.records import Dataset, Preprocessing
from mlcli.registry import ARRAY_SUFFIXES, TABLE_SUFFIXES, alternatives

if TYPE_CHECKING:
    from mlcli.data.own.image_folder import ImageFolder

_MOST_KNOWN = 2
_known: dict[tuple[DatasetConfig, tuple[Version, ...]], Dataset] = {}  # by what was read, the last ones


def own_dataset(config: DatasetConfig, data_dir: Path | None = None, log: Log = lambda _: None) -> Dataset:
    """Return the dataset of the file or folder under `path`; what is fitted is fitted on its training samples.

    The files are read once in a process, unless one changes. data_dir: where prepared data is kept, None for the
    default one; log: receives lines of progress. UsageError for settings that do not fit the files, DataError for a
    file that is missing or cannot be used.
    """
    paths = {key: os.path.abspath(path) for key in FILES if (path := getattr(config, key))}
    config = config.model_copy(update=paths)
    images = _listed_images(config) if holds_images(config) else None
    key = (config, (((images.digest, 0, 0),),) if images else tuple(map(version_of, paths.values())))
    if key not in _known:
        start = time.perf_counter()
        dataset = _read(config, images, data_dir, log)
        while len(_known) >= _MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = replace(dataset, planning_seconds=time.perf_counter() - start)
    return _known[key]


def _read(config: DatasetConfig, images: ImageFolder | None, data_dir: Path | None, log: Log) -> Dataset:
    if holds_arrays(config):
        from mlcli.data.own.arrays import array_dataset

        return array_dataset(config)
    if images is not None:
        from mlcli.data.own.image_dataset import image_dataset

        return image_dataset(config, images, data_dir, log)
    from mlcli.data.own.preparation import Preparation
    from mlcli.data.own.table import table_dataset

    return table_dataset(config, Preparation(data_dir, log))


def stored_dataset(
    config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None = None, data_dir: Path | None = None
) -> Dataset:
    """Return the dataset of the file or folder under `path`, prepared, scaled and split as a run did it.

    trained_on: the digest of the content that the run was trained on; other content without a test part is not split,
    its test split is all of it. UsageError for another kind of data, DataError for a file that does not fit the run.
    """
    if preprocessing.decoding is not None:
        from mlcli.data.own.image_dataset import stored_images

        return stored_images(config, preprocessing, trained_on, data_dir)
    if holds_arrays(config) and preprocessing.encoding is None:
        from mlcli.data.own.arrays import stored_arrays

        return stored_arrays(config, preprocessing, trained_on)
    if preprocessing.encoding is None:
        raise UsageError(f"{location_of(Path(config.path or ''))}: the run was trained on arrays; name arrays")
    from mlcli.data.own.preparation import Preparation
    from mlcli.data.own.table import stored_table

    paths = {key: os.path.abspath(path) for key in FILES if (path := getattr(config, key))}
    return stored_table(config.model_copy(update=paths), preprocessing, trained_on, Preparation(data_dir))


def holds_images(config: DatasetConfig) -> bool:
    """Return whether the path of a configuration is a folder, and holds no arrays: it is one of images then."""
    return os.path.isdir(config.path or "") and not holds_arrays(config)


def _listed_images(config: DatasetConfig) -> ImageFolder:
    from mlcli.data.own.image_folder import list_image_folder

    return list_image_folder(Path(config.path or ""))


def holds_arrays(config: DatasetConfig) -> bool:
    """Return whether the files of a configuration hold arrays, and not tables or images.

    UsageError for a mixture of kinds and for other kinds of files, DataError for a path without a file.
    """
    kinds = {key: _kind(Path(path)) for key in FILES if (path := getattr(config, key))}
    for key, kind in kinds.items():
        if kind != kinds["path"]:
            location = location_of(Path(getattr(config, key)))
            raise UsageError(f"dataset.{key}: {location} is {kind}, and the training file is {kinds['path']}")
    return kinds["path"] == "an array file"


def _kind(path: Path) -> Literal["a table", "an array file", "a folder of images"]:
    from mlcli.data.own.array_file import is_array_path

    if is_array_path(path):
        return "an array file"
    if path.name.lower().endswith(TABLE_SUFFIXES):
        return "a table"
    if os.path.isdir(path):
        return "a folder of images"
    if not os.path.lexists(path):
        raise DataError(f"{location_of(path)}: no such file or folder")
    known = f"{alternatives((*TABLE_SUFFIXES, *ARRAY_SUFFIXES))}, or a folder of arrays or images"
    raise UsageError(f"{location_of(path)}: cannot read this kind of file; use {known}")
