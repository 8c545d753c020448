"""A person's own data, described by the configuration and its files alone; nothing is registered."""

from __future__ import annotations

import functools
import os
import time
from dataclasses import replace

from mlcli.config.dataset import DatasetConfig
from mlcli.records import Dataset, Preprocessing


def own_dataset(config: DatasetConfig) -> Dataset:
    """Return the dataset of the file under `path`; what is fitted is fitted on its training samples.

    The file is read once in a process, unless it changes. UsageError for settings that do not fit the file, DataError
    for a file that is missing or cannot be used.
    """
    config = config.model_copy(update={"path": os.path.abspath(config.path or "")})
    try:
        status = os.stat(config.path or "")
    except (OSError, ValueError):
        return _own_dataset(config, ())  # says what is wrong
    return _own_dataset(config, (status.st_mtime_ns, status.st_size))


@functools.lru_cache(maxsize=2)
def _own_dataset(config: DatasetConfig, version: tuple[int, ...]) -> Dataset:
    from mlcli.data.own.table import table_dataset

    start = time.perf_counter()
    dataset = table_dataset(config)
    return replace(dataset, planning_seconds=time.perf_counter() - start)


def stored_dataset(config: DatasetConfig, preprocessing: Preprocessing, trained_on: str | None = None) -> Dataset:
    """Return the dataset of the file under `path`, prepared, scaled and split as a run did it.

    trained_on: the digest of the content that the run was trained on; other content is not split, its test split is
    all of it. DataError for a file that does not fit the run.
    """
    from mlcli.data.own.table import stored_table

    return stored_table(config, preprocessing, trained_on)
