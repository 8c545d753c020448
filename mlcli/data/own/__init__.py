"""A person's own data, described by the configuration and its files alone; nothing is registered."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import replace
from pathlib import Path

from mlcli.config.dataset import DatasetConfig
from mlcli.config.layers import FILES
from mlcli.data.own.files import OTHER_FILES, Version, location_of, version_of
from mlcli.errors import UsageError
from mlcli.records import Dataset, Preprocessing


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


def stored_dataset(config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None = None) -> Dataset:
    """Return the dataset of the file under `path`, prepared, scaled and split as a run did it.

    trained_on: the digest of the content that the run was trained on; other content without a test part is not split,
    its test split is all of it. DataError for a file that does not fit the run.
    """
    if holds_arrays(config) and preprocessing.encoding is None:
        from mlcli.data.own.arrays import stored_arrays

        return stored_arrays(config, preprocessing, trained_on)
    if preprocessing.encoding is None:
        raise UsageError(f"{location_of(Path(config.path or ''))}: the run was trained on arrays; name arrays")
    from mlcli.data.own.table import stored_table

    return stored_table(config, preprocessing, trained_on)


def holds_arrays(config: DatasetConfig) -> bool:
    """Return whether the files of a configuration hold arrays; UsageError for a mixture of arrays and tables."""
    from mlcli.data.own.array_file import is_array_path

    expected = is_array_path(Path(config.path or ""))
    for key in OTHER_FILES:
        path = getattr(config, key)
        if path is not None and is_array_path(Path(path)) != expected:
            kinds = ("arrays", "a table") if expected else ("a table", "arrays")
            raise UsageError(f"dataset.{key}: the training file holds {kinds[0]}, and {path} is {kinds[1]}")
    return expected
