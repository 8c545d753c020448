from __future__ import annotations

import gzip
import re

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.config.schema import ExperimentConfig
from mlcli.data.load import load_dataset, preprocessing_of
from mlcli.data.own import preparation
from mlcli.data.own.preparation import Preparation
from mlcli.data.own.table import stored_table, table_dataset
from mlcli.data.own.table_file import TableFile
from mlcli.experiment.plan import make_plan
from mlcli.memory import mapping_of

SETTINGS = {"validation": 0.2, "columns": {"year": "categorical"}}


@pytest.fixture
def lines():
    return []


@pytest.fixture
def prepared(tmp_path, lines, monkeypatch):
    """Return a function that prepares a table as a large one, in an own data directory."""
    monkeypatch.setattr(preparation, "LARGE_BYTES", 0)
    monkeypatch.setattr("mlcli.data.cached_folder._SETTLED_NS", 0)

    def prepare(path, folder=tmp_path / "data", target="species", **settings):
        return table_dataset(
            DatasetConfig(path=str(path), target=target, **settings), Preparation(folder, lines.append)
        )

    return prepare


def unread(monkeypatch):
    def read(*arguments):
        raise AssertionError("the file was read again")

    monkeypatch.setattr(TableFile, "read", read)
    monkeypatch.setattr(TableFile, "digest", read)


def assert_same(found, expected):
    assert (found.info, found.notes) == (expected.info, expected.notes)
    assert (found.fingerprint, found.split_digest) == (expected.fingerprint, expected.split_digest)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(found, name).x, getattr(expected, name).x)
        np.testing.assert_array_equal(getattr(found, name).y, getattr(expected, name).y)
    np.testing.assert_array_equal(found.scaling.shift, expected.scaling.shift)
    np.testing.assert_array_equal(found.scaling.scale, expected.scaling.scale)


def test_a_large_table_is_that_of_a_small_one_in_mapped_files_and_is_prepared_once(penguins, prepared, monkeypatch):
    expected = table_dataset(DatasetConfig(path=str(penguins), target="species", **SETTINGS), Preparation())
    with monkeypatch.context() as small:
        small.setattr(preparation, "LARGE_BYTES", 2**30)
        expected = prepared(penguins, **SETTINGS)
    first = prepared(penguins, **SETTINGS)
    unread(monkeypatch)
    again = prepared(penguins, **SETTINGS)
    assert mapping_of(expected.train.x) is None
    for dataset in (first, again):
        assert mapping_of(dataset.train.x) is not None
        assert_same(dataset, expected)


def test_other_settings_use_the_columns_that_were_read(penguins, prepared, monkeypatch):
    first = prepared(penguins)
    monkeypatch.setattr(TableFile, "read", None)
    other = prepared(penguins, split_seed=1)
    assert other.split_digest != first.split_digest
    assert prepared(penguins, test="train", scaling="unit").test.x.shape == (344, first.train.x.shape[1])


def test_a_copy_of_a_file_is_not_prepared_again_and_a_changed_one_is(penguins, prepared, tmp_path, monkeypatch):
    first = prepared(penguins)
    copy = tmp_path / "copy.csv"
    copy.write_bytes(penguins.read_bytes())
    with monkeypatch.context() as patched:
        patched.setattr(TableFile, "read", None)
        assert prepared(copy).info.name == "copy"
    penguins.write_text(penguins.read_text().replace("39.1", "39.2"))
    assert prepared(penguins).fingerprint != first.fingerprint


@pytest.mark.parametrize("damage", ["byte", "shorter", "manifest", "gone"])
def test_damaged_data_is_made_again(damage, penguins, prepared, tmp_path, lines):
    first = prepared(penguins, **SETTINGS)
    (path,) = (tmp_path / "data").glob("prepared/own/*/x0.bin")
    content = bytearray(path.read_bytes())
    content[1000] ^= 1
    path.unlink()  # its content stays mapped
    match damage:
        case "byte":
            path.write_bytes(content)
        case "shorter":
            path.write_bytes(content[:-8])
        case "manifest":
            path.write_bytes(content)
            (path.parent / "manifest.json").write_text("[]")
        case "gone":
            pass
    assert_same(prepared(penguins, **SETTINGS), first)
    assert [line.endswith("is damaged and will be made again") for line in lines] == [True]
    assert_same(prepared(penguins, **SETTINGS), first)
    assert len(lines) == 1


def test_without_a_folder_to_write_to_a_table_is_prepared_for_this_process_alone(
    penguins, prepared, tmp_path, lines, monkeypatch
):
    first = prepared(penguins, **SETTINGS)
    blocked = tmp_path / "read-only"
    blocked.mkdir(mode=0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    found = prepared(penguins, blocked / "data", **SETTINGS)
    assert_same(found, first)
    assert lines[0].startswith("prepared data is not kept: no writable folder")
    assert list(blocked.iterdir()) == []


def test_a_gzipped_table_of_ones_own_may_expand_to_any_size(penguins, prepared, tmp_path, monkeypatch):
    monkeypatch.setattr("mlcli.data.own.table_file.MAX_TABLE_BYTES", 100)
    path = tmp_path / "penguins.csv.gz"
    path.write_bytes(gzip.compress(penguins.read_bytes() * 1))
    assert prepared(path).fingerprint == prepared(penguins).fingerprint


def test_a_table_encoded_as_a_run_did_it_is_prepared_once(penguins, prepared, tmp_path, monkeypatch):
    first = prepared(penguins)
    config = DatasetConfig(path=str(penguins), target="species", scaling="none")
    expected = stored_table(config, preprocessing_of(first), None, Preparation(tmp_path / "data"))
    unread(monkeypatch)
    again = stored_table(config, preprocessing_of(first), None, Preparation(tmp_path / "data"))
    np.testing.assert_array_equal(again.test.x, first.test.x)
    np.testing.assert_array_equal(again.test.x, expected.test.x)


def test_a_plan_and_its_run_prepare_in_the_same_data_directory(penguins, prepared, tmp_path):
    settings = {"dataset": {"path": str(penguins), "target": "species"}, "backend": "sklearn"}
    config = ExperimentConfig.model_validate(settings | {"model": {"name": "logistic"}})
    lines = []
    plan = make_plan(config, tmp_path / "data", lines.append)
    assert mapping_of(load_dataset(plan.config.dataset, data_dir=tmp_path / "data").train.x) is not None
    assert len(list((tmp_path / "data" / "prepared" / "own").glob("*/manifest.json"))) == 2


def test_progress_tells_rate_and_remaining_time(penguins, tmp_path, lines, monkeypatch):
    monkeypatch.setattr(preparation, "_SECONDS_BETWEEN_LINES", 0.0)
    monkeypatch.setattr("mlcli.data.own.column_store._MAX_BLOCK_ROWS", 100)
    penguins.write_text(penguins.read_text() + penguins.read_text().partition("\n")[2] * 50)
    table_dataset(DatasetConfig(path=str(penguins), target="species"), Preparation(tmp_path / "data", lines.append))
    assert re.fullmatch(r".*penguins\.csv: \d+%, [\d,]+ rows/s, \d+ s left", lines[0])
