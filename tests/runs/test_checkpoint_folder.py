"""The checkpoints of a run on disk: the newest that is whole is the one that is found."""

from __future__ import annotations

import os

import pytest

from mlcli.errors import MlcliError
from mlcli.runs.checkpoint import CheckpointFolder


@pytest.fixture
def folder(tmp_path, make_checkpoint):
    folder = CheckpointFolder(tmp_path)
    for step in (1, 2, 3):
        folder.write(make_checkpoint(step))
    return folder


def files(folder):
    return sorted(folder.path.glob("*.safetensors"))


def truncate(path):
    os.truncate(path, path.stat().st_size - 1)


def empty(path):
    os.truncate(path, 0)


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def replace_by_a_folder(path):
    path.unlink()
    path.mkdir()


def replace_by_a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def replace_by_a_link_to_itself_elsewhere(path):
    aside = path.parent.parent / "elsewhere"
    path.rename(aside)
    path.symlink_to(aside)


DAMAGES = (truncate, empty, flip_a_byte, replace_by_a_folder, replace_by_a_pipe, replace_by_a_link_to_itself_elsewhere)


def test_the_newest_two_are_kept(folder):
    assert len(files(folder)) == 2
    found = folder.find()
    assert found.checkpoint.position.step == 3
    assert found.faults == ()


@pytest.mark.parametrize("damage", DAMAGES)
def test_behind_a_damaged_one_the_one_before_is_found_and_the_damage_told(folder, damage):
    newest = files(folder)[-1]
    damage(newest)
    found = folder.find()
    assert found.checkpoint.position.step == 2
    (fault,) = found.faults
    assert str(newest) in fault


def test_behind_a_deleted_one_the_one_before_is_found_and_the_loss_told(folder):
    newest = files(folder)[-1]
    newest.unlink()
    found = folder.find()
    assert found.checkpoint.position.step == 2
    assert found.faults == (f"{newest} is missing",)


def test_where_none_is_whole_none_is_found_and_each_is_told(folder):
    for path in files(folder):
        truncate(path)
    found = folder.find()
    assert found.checkpoint is None
    assert len(found.faults) == 2


def test_damaged_ones_do_not_push_out_whole_ones(folder, make_checkpoint):
    flip_a_byte(files(folder)[-1])
    folder.clear_damage()
    folder.write(make_checkpoint(4))
    assert [folder.find().checkpoint.position.step, len(files(folder))] == [4, 2]
    files(folder)[-1].unlink()
    assert folder.find().checkpoint.position.step == 2


def test_parts_of_killed_processes_are_swept(folder):
    part = folder.path / ".00000004_x.safetensors.123.part"
    part.write_bytes(b"half")
    folder.clear_damage()
    assert not part.exists()
    assert len(files(folder)) == 2


def test_a_name_that_only_looks_right_is_no_checkpoint(folder):
    (folder.path / "99999999_nothing.safetensors").write_bytes(b"x")
    assert folder.find().checkpoint.position.step == 3


def test_no_folder_is_no_checkpoint_and_no_fault(tmp_path):
    found = CheckpointFolder(tmp_path).find()
    assert (found.checkpoint, found.faults) == (None, ())


def test_a_folder_that_leads_elsewhere_is_not_followed(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoint").symlink_to(folder.path)
    assert CheckpointFolder(other).find().checkpoint is None


def test_one_that_cannot_be_written_leaves_those_that_are_there(folder, monkeypatch, make_checkpoint):
    before = {path: path.read_bytes() for path in files(folder)}

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(MlcliError, match=r"checkpoint.*No space left on device \([\d,]+ bytes are needed\)"):
        folder.write(make_checkpoint(4))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in files(folder)} == before
    assert not list(folder.path.glob(".*.part"))
