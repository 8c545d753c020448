"""Fuzz the readers of a person's own tables."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from table_seeds import FRAGMENTS, SETTINGS, SUFFIXES, seeds
from watched import read_or_refused

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.table import table_dataset

_ZIPPED = len(SUFFIXES)  # a text that is zipped before it is read, so that the damage is in the table


class TablesTarget:
    """The first byte chooses the kind of file and the settings; the rest is the content of the file."""

    def __init__(self, scratch: Path) -> None:
        self._folder = scratch

    def seeds(self) -> Iterator[bytes]:
        for suffix, content in seeds():
            kinds = [SUFFIXES.index(suffix), *([_ZIPPED] if suffix == ".csv" else [])]
            for settings in range(len(SETTINGS)):
                yield from (bytes([kind * len(SETTINGS) + settings]) + content for kind in kinds)

    def dictionary_entries(self) -> Iterable[str]:
        """Return the fragments that tables consist of."""
        return (fragment for fragment in FRAGMENTS if len(fragment) < 64)

    def check(self, data: bytes) -> None:
        """Check that reading yields a dataset to train on, or ends with a clean error."""
        kind, settings = divmod(data[0] if data else 0, len(SETTINGS))
        kind %= _ZIPPED + 1
        content = gzip.compress(data[1:], 1) if kind == _ZIPPED else data[1:]
        file = self._folder / f"table{'.csv.gz' if kind == _ZIPPED else SUFFIXES[kind]}"
        file.write_bytes(content)
        with read_or_refused():
            dataset = table_dataset(DatasetConfig(path=str(file), target="t", **SETTINGS[settings]), Preparation())
            assert dataset.info.n_classes > 1, "a table with one class was accepted"
            for split in filter(None, (dataset.train, dataset.validation, dataset.test)):
                assert len(split) > 0, "an empty split"
                assert np.isfinite(split.x).all(), "features that are not finite"
