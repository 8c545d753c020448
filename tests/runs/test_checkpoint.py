"""Checkpoints are read back bit-identical, and the newest valid checkpoint of a run is found."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mlcli.errors import DataError, MlcliError
from mlcli.runs import checkpoint as module
from mlcli.runs.checkpoint import CheckpointFolder, checkpoint_bytes, checkpoint_from


def assert_same_arrays(left, right):
    assert set(left) == set(right)
    for name, array in right.items():
        assert left[name].dtype == array.dtype
        assert left[name].shape == array.shape
        np.testing.assert_array_equal(left[name], array)


@pytest.mark.parametrize("best", [True, False])
def test_a_checkpoint_is_read_back_bit_identical(best, make_checkpoint):
    before = make_checkpoint(best=best)
    after = checkpoint_from(checkpoint_bytes(before))
    assert after.position == before.position
    assert after.run == before.run
    assert after.engine.values == before.engine.values
    assert_same_arrays(after.engine.arrays, before.engine.arrays)
    assert_same_arrays(after.weights, before.weights)
    assert_same_arrays({"losses": after.batch_losses}, {"losses": before.batch_losses})
    if best:
        assert_same_arrays(after.best_weights, before.best_weights)
    else:
        assert after.best_weights is None


def test_the_arrays_of_a_checkpoint_are_writeable(make_checkpoint):
    after = checkpoint_from(checkpoint_bytes(make_checkpoint()))
    assert all(array.flags.writeable for array in (*after.weights.values(), *after.engine.arrays.values()))


def test_the_description_tells_where_it_was_written(make_checkpoint):
    assert make_checkpoint().description == "after epoch 1 and 2 steps of the next"


def _with_document(text):
    from safetensors.numpy import save

    return save({"document": np.frombuffer(text, dtype=np.uint8), "batch_losses": np.empty(0)})


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: b"",
        lambda data: b"\x80\x04N.",
        lambda data: b"\xff" * 64,
        lambda data: data[:-1],
        lambda data: _with_document(b"{}"),
        lambda data: _with_document(b"[" * 100_000),
        lambda data: _with_document(b"\xff"),
        lambda data: _with_document(b'{"schema_version": 1, "position": {"step": "x"}}'),
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2'),
    ],
)
def test_other_content_is_refused(damaged, make_checkpoint):
    with pytest.raises(ValueError, match=r"\w"):
        checkpoint_from(damaged(checkpoint_bytes(make_checkpoint())))


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
    assert found.issues == ()


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_checkpoint_before_a_damaged_one_is_found_and_the_damage_reported(folder, damage):
    newest = files(folder)[-1]
    damage(newest)
    found = folder.find()
    assert found.checkpoint.position.step == 2
    (issue,) = found.issues
    assert str(newest) in issue


def test_the_checkpoint_before_a_deleted_one_is_found_and_the_loss_reported(folder):
    newest = files(folder)[-1]
    newest.unlink()
    found = folder.find()
    assert found.checkpoint.position.step == 2
    assert found.issues == (f"{newest} is missing",)


def test_without_a_valid_checkpoint_none_is_found_and_each_is_reported(folder):
    for path in files(folder):
        truncate(path)
    found = folder.find()
    assert found.checkpoint is None
    assert len(found.issues) == 2


def test_a_damaged_checkpoint_does_not_displace_a_valid_one(folder, make_checkpoint):
    flip_a_byte(files(folder)[-1])
    folder.clear_damage()
    folder.write(make_checkpoint(4))
    assert [folder.find().checkpoint.position.step, len(files(folder))] == [4, 2]
    files(folder)[-1].unlink()
    assert folder.find().checkpoint.position.step == 2


def test_temporary_files_of_killed_processes_are_deleted(folder):
    part = folder.path / ".00000004_x.safetensors.123.part"
    part.write_bytes(b"half")
    folder.clear_damage()
    assert not part.exists()
    assert len(files(folder)) == 2


def test_a_name_that_is_only_similar_is_not_a_checkpoint(folder):
    (folder.path / "99999999_nothing.safetensors").write_bytes(b"x")
    assert folder.find().checkpoint.position.step == 3


def test_without_a_folder_there_is_no_checkpoint_and_no_issue(tmp_path):
    found = CheckpointFolder(tmp_path).find()
    assert (found.checkpoint, found.issues) == (None, ())


def test_a_link_in_place_of_the_folder_is_not_followed(folder, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "checkpoint").symlink_to(folder.path)
    assert CheckpointFolder(other).find().checkpoint is None


def test_a_checkpoint_that_cannot_be_written_leaves_the_older_ones(folder, monkeypatch, make_checkpoint):
    before = {path: path.read_bytes() for path in files(folder)}

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(MlcliError, match=r"checkpoint.*No space left on device \([\d,]+ bytes are needed\)"):
        folder.write(make_checkpoint(4))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in files(folder)} == before
    assert not list(folder.path.glob(".*.part"))


def test_a_checkpoint_that_may_not_be_read_is_named_and_kept(folder, make_checkpoint, monkeypatch):
    folder.write(make_checkpoint())

    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(module, "read_inside", forbidden)
        with pytest.raises(DataError, match=r"safetensors cannot be read: Permission denied\nallow it"):
            folder.find()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "iterdir", forbidden)
        with pytest.raises(DataError, match=r"checkpoint cannot be read: Permission denied"):
            folder.find()
    assert folder.find().checkpoint
