from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_cache_path

from mlcli.data.directory import data_directory, fallback_root, offline_requested, writable_prepared_root
from mlcli.errors import DataError, UsageError


def test_flag_then_variable_then_platform_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path / "variable"))
    assert data_directory(tmp_path / "flag") == tmp_path / "flag"
    assert data_directory(None) == tmp_path / "variable"
    monkeypatch.setenv("MLCLI_DATA_DIR", "")
    assert data_directory(None) == user_cache_path("mlcli", appauthor=False)


def test_relative_and_home_paths_become_absolute(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert data_directory(Path("~/a")) == tmp_path / "a"
    assert data_directory(Path("b")) == tmp_path / "b"


def test_a_file_cannot_be_the_data_directory(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        data_directory(tmp_path / "file")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("TRUE", True), ("0", False), ("", False), ("no", False)])
def test_offline_variable(monkeypatch, value, offline):
    monkeypatch.setenv("MLCLI_OFFLINE", value)
    assert offline_requested(False) is offline
    assert offline_requested(True) is True


def test_offline_variable_that_is_neither_yes_nor_no(monkeypatch):
    monkeypatch.setenv("MLCLI_OFFLINE", "maybe")
    with pytest.raises(UsageError, match="MLCLI_OFFLINE is 'maybe'"):
        offline_requested(False)


def test_two_data_directories_have_different_fallbacks(tmp_path):
    assert fallback_root(tmp_path / "a") != fallback_root(tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert fallback_root(tmp_path / "link") == fallback_root(tmp_path / "a")


def test_prepared_data_of_a_read_only_data_directory_goes_to_the_platform_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").write_text("in the way")
    assert writable_prepared_root(tmp_path / "data") == fallback_root(tmp_path / "data") / "prepared"
    (tmp_path / "cache" / "mlcli").rename(tmp_path / "moved")
    (tmp_path / "cache" / "mlcli").write_text("in the way")
    with pytest.raises(DataError, match=r"no writable folder .*; tried .*data/prepared: .*; .*cache/mlcli"):
        writable_prepared_root(tmp_path / "data")
