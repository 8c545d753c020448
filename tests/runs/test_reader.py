"""The files of a run are read only if they are unchanged."""

from __future__ import annotations

import hashlib
import json
import pickle

import numpy as np
import pytest

from mlcli.errors import DataError
from mlcli.runs.reader import VerifiedFiles

FILES = (
    "config.yaml", "environment.json", "history.csv", "log.txt", "predictions.npz", "preprocessing.json",
    "weights.safetensors",
)  # fmt: skip


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def replace_file(directory, name, data):
    """Replace the content of a file and its checksum in the manifest."""
    (directory / name).write_bytes(data)
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"][name] = hashlib.sha256(data).hexdigest()
    (directory / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_detected(digits_copy, name):
    flip_a_byte(digits_copy / name)
    with pytest.raises(DataError, match=f"{name} was altered"):
        VerifiedFiles(digits_copy)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_missing_file_is_detected(digits_copy, name):
    (digits_copy / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing"):
        VerifiedFiles(digits_copy)


def test_a_link_out_of_the_directory_is_refused_even_if_its_content_is_right(digits_copy, tmp_path):
    outside = tmp_path / "outside"
    (digits_copy / "weights.safetensors").rename(outside)
    (digits_copy / "weights.safetensors").symlink_to(outside)
    with pytest.raises(DataError, match="a link that leads out of the run directory"):
        VerifiedFiles(digits_copy)


def test_a_manifest_cannot_reach_outside(digits_copy, tmp_path):
    (tmp_path / "secret").write_bytes(b"x")
    manifest = json.loads((digits_copy / "manifest.json").read_text())
    manifest["files"]["../secret"] = hashlib.sha256(b"x").hexdigest()
    (digits_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="lies outside the run directory"):
        VerifiedFiles(digits_copy)


@pytest.mark.parametrize("text", ["", "[]", '{"algorithm": "md5", "files": {}}', '{"algorithm": "sha256"}'])
def test_other_content_in_the_manifest_is_refused(digits_copy, text):
    (digits_copy / "manifest.json").write_text(text)
    with pytest.raises(DataError, match="is not a manifest"):
        VerifiedFiles(digits_copy)


def test_a_file_that_the_manifest_does_not_list_is_not_read(digits_copy):
    manifest = json.loads((digits_copy / "manifest.json").read_text())
    del manifest["files"]["weights.safetensors"]
    (digits_copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="the run has no such file"):
        VerifiedFiles(digits_copy).weights()


class Explosive:
    """An object that raises a SystemExit when it is unpickled."""

    def __reduce__(self):
        return exit, ("executed",)


def test_pickled_predictions_are_not_loaded(digits_copy, tmp_path):
    np.savez(tmp_path / "pickled.npz", y=np.array([Explosive()], dtype=object))
    replace_file(digits_copy, "predictions.npz", (tmp_path / "pickled.npz").read_bytes())
    with pytest.raises(
        DataError, match=r"predictions.npz has content .* an array of Python objects, which are never loaded"
    ):
        VerifiedFiles(digits_copy).predictions()


@pytest.mark.parametrize("data", [b"", b"not safetensors at all", pickle.dumps(Explosive())])
def test_other_content_in_the_weights_is_refused(digits_copy, data):
    replace_file(digits_copy, "weights.safetensors", data)
    with pytest.raises(DataError, match=r"weights.safetensors has content .* not a safetensors file"):
        VerifiedFiles(digits_copy).weights()


@pytest.mark.parametrize("name", ["history.csv", "preprocessing.json", "environment.json"])
def test_other_content_in_other_files_is_refused(digits_copy, name):
    replace_file(digits_copy, name, b"epoch\nfirst\n")
    with pytest.raises(DataError, match=name):
        getattr(VerifiedFiles(digits_copy), name.partition(".")[0])()


def test_history_and_predictions_are_read_back(digits_run):
    history = digits_run.files.history()
    assert [record.epoch for record in history] == [1, 2, 3, 4]
    assert history[-1].validation_loss == digits_run.record.metrics["validation"].loss
    predictions = digits_run.files.predictions()
    accuracy = float(np.mean(predictions["labels"] == predictions["y"]))
    assert accuracy == digits_run.record.metrics["test"].accuracy
    assert set(predictions) == {"y", "labels", "logits", "probabilities"}
