"""A person's own data, described by the configuration and its files alone; nothing is registered."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mlcli.config.dataset import DatasetConfig
from mlcli.config.layers import FILES
from mlcli.data.own.files import Version, location_of, version_of
from mlcli.errors import DataError, UsageError
from mlcli.records import Dataset, Preprocessing
from mlcli.registry import ARRAY_SUFFIXES, TABLE_SUFFIXES, alternatives


def own_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset of the file under `path`; what is fitted is fitted on its training samples.

    The files are read once in a process, unless one changes. UsageError for settings that do not fit the files,
    DataError for a file that is missing or cannot be used.
    """
    paths = {key: os.path.abspath(path) for key in FILES if (path := getattr(config, key))}
    return _own_dataset(config.model_copy(update=paths), tuple(map(version_of, paths.values())))


@functools.lru_cache(maxsize=2)
def _own_dataset(config: DatasetConfig, versions: tuple[Version, ...]) -> Dataset:
    start = time.perf_counter()
    if holds_arrays(config):
        from mlcli.data.own.arrays import array_dataset

        dataset = array_dataset(config)
    else:
        from mlcli.data.own.table import table_dataset

        dataset = table_dataset(config)
    return replace(dataset, planning_seconds=time.perf_counter() - start)


def stored_dataset(config: DatasetConfig, preprocessing: Preprocessing) -> Dataset:
    """Return the dataset of the file under `path`, prepared and scaled as a run did it.

    DataError for a file that does not fit the run.
    """
    if holds_arrays(config) and preprocessing.encoding is None:
        from mlcli.data.own.arrays import stored_arrays

        return stored_arrays(config, preprocessing)
    if preprocessing.encoding is None:
        raise UsageError(f"{location_of(Path(config.path or ''))}: the run was trained on arrays; name arrays")
    from mlcli.data.own.table import stored_table

    return stored_table(config, preprocessing)


def holds_arrays(config: DatasetConfig) -> bool:
    """Return whether the files of a configuration hold arrays, and not tables.

    UsageError for a mixture of both and for other kinds of files, DataError for a path without any.
    """
    kinds = {key: _kind(Path(path)) for key in FILES if (path := getattr(config, key))}
    for key, kind in kinds.items():
        if kind != kinds["path"]:
            location = location_of(Path(getattr(config, key)))
            raise UsageError(f"dataset.{key}: {location} is {kind}, and the training file is {kinds['path']}")
    return kinds["path"] == "an array file"


def _kind(path: Path) -> Literal["a table", "an array file"]:
    from mlcli.data.own.array_file import is_array_path

    if is_array_path(path):
        return "an array file"
    if path.name.lower().endswith(TABLE_SUFFIXES):
        return "a table"
    if not os.path.lexists(path):
        raise DataError(f"{location_of(path)}: no such file or folder")
    if path.is_dir():
        raise DataError(f"{location_of(path)}: a folder without x.npy and y.npy, and without train-images-idx3-ubyte")
    known = alternatives((*TABLE_SUFFIXES, *ARRAY_SUFFIXES))
    raise UsageError(f"{location_of(path)}: cannot read this kind of file; use {known}")
