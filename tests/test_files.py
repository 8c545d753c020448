"""Files are written completely or not at all."""

from __future__ import annotations

import pytest

from mlcli.errors import MlcliError
from mlcli.files import write_whole, written_whole


def test_the_target_is_replaced_only_when_the_block_ends(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("before")
    with written_whole(target) as part:
        part.write_text("after")
        assert target.read_text() == "before"
    assert target.read_text() == "after"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_keeps_the_target_and_leaves_no_other_file(tmp_path):
    target = tmp_path / "x.txt"
    target.write_text("before")

    def write_and_fail():
        with written_whole(target) as part:
            part.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_a_file_that_cannot_be_written_is_an_error_with_its_path_and_size(tmp_path):
    with pytest.raises(MlcliError, match=r"none/x.txt: cannot be written: No such file or directory \(5 bytes"):
        write_whole(tmp_path / "none" / "x.txt", b"12345")
