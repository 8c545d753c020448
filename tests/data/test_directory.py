from __future__ import annotations

from pathlib import Path

import pytest
from platformdirs import user_cache_path

from mlcli.data.directory import data_directory, offline_requested, substitute_root, writable_prepared_root
from mlcli.errors import DataError, UsageError


def test_flag_then_variable_then_platform_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MLCLI_DATA_DIR", str(tmp_path / "variable"))
    assert data_directory(tmp_path / "flag") == tmp_path / "flag"
    assert data_directory(None) == tmp_path / "variable"
    monkeypatch.setenv("MLCLI_DATA_DIR", "")
    assert data_directory(None) == user_cache_path("mlcli", appauthor=False)


def test_relative_and_home_paths_become_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert data_directory(Path("~/a")) == tmp_path / "a"
    assert data_directory(Path("b")) == tmp_path / "b"


def test_a_file_is_no_data_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="file is not a folder"):
        data_directory(tmp_path / "file")


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("TRUE", True), ("0", False), ("", False), ("no", False)])
def test_offline_variable(monkeypatch: pytest.MonkeyPatch, value: str, offline: bool) -> None:
    monkeypatch.setenv("MLCLI_OFFLINE", value)
    assert offline_requested(False) is offline
    assert offline_requested(True) is True


def test_offline_variable_that_is_neither_yes_nor_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLCLI_OFFLINE", "maybe")
    with pytest.raises(UsageError, match="MLCLI_OFFLINE is 'maybe'"):
        offline_requested(False)


def test_substitutes_of_two_data_directories_differ(tmp_path: Path) -> None:
    assert substitute_root(tmp_path / "a") != substitute_root(tmp_path / "b")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert substitute_root(tmp_path / "link") == substitute_root(tmp_path / "a")


def test_prepared_data_goes_to_the_platform_cache_where_the_data_directory_cannot_be_written(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "prepared").write_text("in the way")
    assert writable_prepared_root(tmp_path / "data") == substitute_root(tmp_path / "data") / "prepared"
    (tmp_path / "cache" / "mlcli").rename(tmp_path / "moved")
    (tmp_path / "cache" / "mlcli").write_text("in the way")
    with pytest.raises(DataError, match=r"no place for prepared data; tried .*data/prepared: .*; .*cache/mlcli"):
        writable_prepared_root(tmp_path / "data")
