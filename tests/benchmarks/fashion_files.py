"""Fashion-MNIST for the benchmarks: where its files are, and a working copy that every contestant reads."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

BESIDE_CHECKOUT = Path(__file__).resolve().parents[3] / "shared" / "datasets"
N_FILES = 4


def find_data_dir(flag: Path | None, dataset_class: str = "FashionMNIST") -> Path | None:
    """The first data directory that holds the publisher's files of a dataset; None where none does.

    Asked in turn: the flag, MLCLI_DATA_DIR, the folder shared/datasets beside the checkout, and the platform's cache,
    where `mlcli data fetch` puts them.
    """
    places = [flag] if flag else list(_usual_places())
    return next((place for place in places if len(_packed(place, dataset_class)) == N_FILES), None)


def _usual_places() -> Iterator[Path]:
    from platformdirs import user_cache_path

    if os.environ.get("MLCLI_DATA_DIR"):
        yield Path(os.environ["MLCLI_DATA_DIR"])
    yield BESIDE_CHECKOUT
    yield user_cache_path("mlcli", appauthor=False)


def _packed(data_dir: Path, dataset_class: str) -> list[Path]:
    return sorted((data_dir / dataset_class / "raw").glob("*-ubyte.gz"))


def packed_copy(source: Path, target: Path, dataset_class: str = "FashionMNIST") -> Path:
    """Copy the publisher's files to a data directory of our own; returns the folder they are in."""
    raw = target / dataset_class / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for path in _packed(source, dataset_class):
        shutil.copyfile(path, raw / path.name)
    return raw


def working_copy(source: Path, target: Path) -> Path:
    """Fashion-MNIST in a data directory of our own, packed for mlcli and unpacked for torchvision and numpy."""
    for path in packed_copy(source, target).glob("*.gz"):
        with gzip.open(path) as packed, path.with_suffix("").open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    return target
