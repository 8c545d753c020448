"""What `mlcli data` does: which datasets are there, fetching them, holding them against their checksums."""

from __future__ import annotations

from pathlib import Path

from mlcli.data.directory import data_directory, offline_requested
from mlcli.data.source import FetchReport, Log, Presence, VerifyReport, dataset_source
from mlcli.registry import DATASETS


def _silent(_message: str) -> None:
    """Progress that nobody asked for."""


def presences(data_dir: Path | None = None) -> dict[str, Presence]:
    """For every dataset whether it is there, judged by names and sizes alone."""
    directory = data_directory(data_dir)
    return {name: dataset_source(name).presence(directory) for name in DATASETS}


def fetch(
    name: str,
    data_dir: Path | None = None,
    source: str | None = None,
    *,
    offline: bool = False,
    log: Log = _silent,
) -> FetchReport:
    """Bring a dataset into the data directory and prepare it; files that are whole stay as they are.

    source: a folder that holds the files, flat or in torchvision's layout, or an http(s) address that the file names
    are added to; None: torchvision's mirrors. UsageError for a name or a source that cannot be, DataError where
    the files cannot be had or the network is forbidden.
    """
    return dataset_source(name).fetch(data_directory(data_dir), source, offline=offline_requested(offline), log=log)


def verify(name: str, data_dir: Path | None = None) -> VerifyReport:
    """Hold every file of a dataset against its checksum; changes nothing."""
    return dataset_source(name).verify(data_directory(data_dir))
