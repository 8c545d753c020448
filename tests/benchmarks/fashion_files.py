"""Find the files of Fashion-MNIST, and make the working copy that the contestants read."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

SHARED_DATASETS = Path(__file__).resolve().parents[3] / "shared" / "datasets"
N_FILES = 4


def find_data_dir(flag: Path | None, dataset_class: str = "FashionMNIST") -> Path | None:
    """Return the first data directory that contains the published files of a dataset; None if there is none.

    Searches only the flag if it is given. Otherwise searches MLCLI_DATA_DIR, the folder shared/datasets next to the
    checkout, and the user cache of the platform, where `mlcli data fetch` stores downloads.
    """
    folders = [flag] if flag else list(_default_data_dirs())
    return next((folder for folder in folders if len(_compressed_files(folder, dataset_class)) == N_FILES), None)


def _default_data_dirs() -> Iterator[Path]:
    from platformdirs import user_cache_path

    if os.environ.get("MLCLI_DATA_DIR"):
        yield Path(os.environ["MLCLI_DATA_DIR"])
    yield SHARED_DATASETS
    yield user_cache_path("mlcli", appauthor=False)


def _compressed_files(data_dir: Path, dataset_class: str) -> list[Path]:
    return sorted((data_dir / dataset_class / "raw").glob("*-ubyte.gz"))


def compressed_copy(source: Path, target: Path, dataset_class: str = "FashionMNIST") -> Path:
    """Copy the published files of a dataset to another data directory, and return the folder that contains them."""
    raw = target / dataset_class / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for path in _compressed_files(source, dataset_class):
        shutil.copyfile(path, raw / path.name)
    return raw


def working_copy(source: Path, target: Path) -> Path:
    """Copy Fashion-MNIST to another data directory, compressed for mlcli and uncompressed for torchvision and numpy."""
    for path in compressed_copy(source, target).glob("*.gz"):
        with gzip.open(path) as packed, path.with_suffix("").open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    return target
