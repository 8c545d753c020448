"""Which reader a path is for."""

from __future__ import annotations

import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.errors import DataError, UsageError


def test_a_path_that_is_neither_a_table_nor_arrays_is_refused(tmp_path):
    (tmp_path / "t.xlsx").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(
        UsageError, match=r"t.xlsx: cannot read this kind of file; use .csv, .* or .npy, or a folder of"
    ):
        own_dataset(DatasetConfig(path=str(tmp_path / "t.xlsx")))
    with pytest.raises(DataError, match="folder: "):
        own_dataset(DatasetConfig(path=str(tmp_path / "folder")))
    with pytest.raises(DataError, match="none: no such file or folder"):
        own_dataset(DatasetConfig(path=str(tmp_path / "none")))
