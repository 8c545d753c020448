from __future__ import annotations

import os
import threading

import pytest

from mlcli.data import cached_folder as module
from mlcli.data import inventory
from mlcli.data.cached_folder import cached_folder, checksum, clean, entries
from mlcli.errors import DataError


def writer(text):
    return lambda folder: (folder / "a.bin").write_text(text)


def silent(line):
    return None


def test_the_entries_not_used_for_the_longest_time_are_removed_beyond_the_limit(tmp_path, monkeypatch):
    folders = []
    for number in range(3):
        folders.append(cached_folder(tmp_path, {"n": number}, writer("x" * 1000), silent))
        os.utime(folders[-1], (number, number))
    assert cached_folder(tmp_path, {"n": 0}, writer("?"), silent) == folders[0]  # used again
    size = next(n_bytes for _, n_bytes in entries(folders[0].parent))
    monkeypatch.setattr(module, "MAX_CACHE_BYTES", 3 * size)
    new = cached_folder(tmp_path, {"n": 3}, writer("x" * 1000), silent)
    assert [folder.exists() for folder in [*folders, new]] == [True, False, True, True]
    assert clean(tmp_path) == (3, 3 * size)
    assert list(entries(new.parent)) == []


def test_threads_that_need_the_same_entry_make_it_once(tmp_path):
    made = []
    start = threading.Barrier(4)

    def build(folder):
        made.append(folder)
        (folder / "a.bin").write_text("x")

    def use():
        start.wait()
        cached_folder(tmp_path, {"n": 0}, build, silent)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1


def test_a_failed_build_leaves_nothing_behind(tmp_path):
    def build(folder):
        (folder / "a.bin").write_text("x")
        raise DataError("no table")

    with pytest.raises(DataError, match="no table"):
        cached_folder(tmp_path, {"n": 0}, build, silent)
    assert [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"] == []


@pytest.mark.parametrize("length", [1, 8, 2**20, 2**20 + 3])
def test_the_checksum_shows_a_changed_bit_and_a_missing_or_added_byte_that_is_not_zero(length, tmp_path):
    content = bytes(range(1, 252)) * (length // 251 + 1)
    path = tmp_path / "a.bin"

    def of(data):
        path.write_bytes(data)
        return checksum(path)

    whole = of(content[:length])
    assert of(content[:length]) == whole
    changed = bytearray(content[:length])
    changed[length // 2] ^= 4
    assert len({whole, of(changed), of(content[: length - 1]), of(content[: length + 1])}) == 4


def test_data_clean_says_what_it_removes(tmp_path, capsys):
    cached_folder(tmp_path, {"n": 0}, writer("x" * 2**20), silent)
    inventory.clean(tmp_path)
    assert "removed 1 prepared tables and images, 1 MiB" in capsys.readouterr().err
