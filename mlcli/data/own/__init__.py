"""A person's own data, described by the configuration and its files alone; nothing is registered."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

from mlcli.config.dataset import DatasetConfig
from mlcli.data.source import Log
from mlcli.records import Dataset, Preprocessing

_MOST_KNOWN = 2
_known: dict[tuple[DatasetConfig, tuple[int, ...]], Dataset] = {}  # by what was read, the last ones


def own_dataset(config: DatasetConfig, data_dir: Path | None = None, log: Log = lambda _: None) -> Dataset:
    """Return the dataset of the file under `path`; what is fitted is fitted on its training samples.

    The file is read once in a process, unless it changes. data_dir: where prepared data is kept, None for the default
    one; log: receives lines of progress. UsageError for settings that do not fit the file, DataError for a file that is
    missing or cannot be used.
    """
    from mlcli.data.own.preparation import Preparation
    from mlcli.data.own.table import table_dataset

    config = config.model_copy(update={"path": os.path.abspath(config.path or "")})
    key = (config, _version(config))
    if key not in _known:
        start = time.perf_counter()
        dataset = table_dataset(config, Preparation(data_dir, log))
        while len(_known) >= _MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = replace(dataset, planning_seconds=time.perf_counter() - start)
    return _known[key]


def _version(config: DatasetConfig) -> tuple[int, ...]:
    """Return what changes with the file; () for a file that cannot be read, which reading it explains."""
    try:
        status = os.stat(config.path or "")
    except (OSError, ValueError):
        return ()
    return status.st_mtime_ns, status.st_size


def stored_dataset(config: DatasetConfig, preprocessing: Preprocessing, data_dir: Path | None = None) -> Dataset:
    """Return the dataset of the file under `path`, prepared and scaled as a run did it.

    DataError for a file that does not fit the run.
    """
    from mlcli.data.own.preparation import Preparation
    from mlcli.data.own.table import stored_table

    config = config.model_copy(update={"path": os.path.abspath(config.path or "")})
    return stored_table(config, preprocessing, Preparation(data_dir))
