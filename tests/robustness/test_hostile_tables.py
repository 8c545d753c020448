"""Hostile tables are read, or refused with a message: a small part of what `make soak` does for longer."""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.table import table_dataset
from mlcli.errors import MlcliError
from tests.soak.table_seeds import SETTINGS, SUFFIXES, damaged, seeds

N_DAMAGED = int(os.environ.get("MLCLI_SOAK_TABLES", "150"))


def outcome(path, content, settings):
    """Return whether a table was read; any error that is not one of mlcli is raised."""
    path.write_bytes(content)
    try:
        dataset = table_dataset(DatasetConfig(path=str(path), target="t", **settings), Preparation())
    except MlcliError:
        return False
    assert dataset.info.n_classes > 1
    assert all(len(part) and np.isfinite(part.x).all() for part in (dataset.train, dataset.test))
    return True


@pytest.fixture(scope="module")
def tables():
    return list(seeds())


def test_every_seed_is_read_or_refused(tables, tmp_path):
    generator = random.Random(0)
    read = [outcome(tmp_path / f"t{suffix}", content, generator.choice(SETTINGS)) for suffix, content in tables]
    assert 10 < sum(read) < len(read)


def test_damaged_tables_are_read_or_refused(tables, tmp_path):
    generator = random.Random(1)
    by_suffix = {chosen: [content for suffix, content in tables if suffix == chosen] for chosen in SUFFIXES}
    read = []
    for _ in range(N_DAMAGED):
        suffix = generator.choice(SUFFIXES)
        content = generator.choice(by_suffix[suffix])
        read.append(outcome(tmp_path / f"t{suffix}", damaged(content, generator), generator.choice(SETTINGS)))
    assert any(read)
