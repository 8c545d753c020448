"""A run directory is complete or recognisably incomplete, is never overwritten, and can be read without mlcli."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.files import write_whole
from mlcli.records import EpochRecord, Metrics, RunRecord, Timing
from mlcli.runs import directory as module
from mlcli.runs.directory import UNVERIFIED, RunDirectory
from mlcli.runs.find import find_finished, find_runs
from mlcli.runs.reader import VerifiedFiles

CONFIG = ExperimentConfig(name="a_name", backend="torch", seed=3)
RECORD = RunRecord(
    run_id="x",
    name="a_name",
    status="finished",
    backend="torch",
    dataset="digits",
    model="mlp",
    seed=3,
    metrics={"test": Metrics(0.5, None, 10)},
    timing=Timing(1, 2, 3, 4, 5, 6, 7),
    epochs=2,
    best_epoch=1,
    samples_per_second=float("nan"),
    n_parameters=7,
    device="cpu",
    threads=1,
    peak_memory_bytes=None,
    notes=("a note",),
    digests={"experiment": "abc"},
    mlcli_version="0",
    created="2026-01-01T00:00:00+00:00",
)
EPOCH = EpochRecord(1, 0.1, 0.5, 0.9, None, None, 0.25, 400.0, True)


@pytest.fixture
def directory(tmp_path):
    made = RunDirectory.create(CONFIG, tmp_path)
    made.write_config(CONFIG)
    return made


def test_the_name_describes_the_run(directory):
    stamp, *middle, random = directory.run_id.split("_")
    assert middle == ["a", "name", "torch", "s3"]
    assert stamp.endswith("Z")
    assert len(random) == 7
    assert random[0].isalpha()


def test_simultaneous_starts_never_share_a_directory(tmp_path):
    with ThreadPoolExecutor(50) as pool:
        made = list(pool.map(lambda _: RunDirectory.create(CONFIG, tmp_path).path, range(50)))
    assert len(set(made)) == 50


def test_a_record_is_read_back_with_null_for_numbers_that_are_not_finite(directory):
    directory.finish(RECORD)
    assert directory.read_record() == replace(RECORD, samples_per_second=None)
    assert "NaN" not in (directory.path / "metrics.json").read_text()


def test_a_run_without_a_record_is_not_finished(directory):
    with pytest.raises(MlcliError, match="not a finished run"):
        directory.read_record()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "finished"}', "null"])
def test_a_broken_record_is_one_clear_error(directory, text):
    (directory.path / "metrics.json").write_text(text)
    with pytest.raises(MlcliError, match="metrics.json"):
        directory.read_record()


def test_a_record_that_may_not_be_read_says_so(directory, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied", "metrics.json")

    monkeypatch.setattr(module, "read_inside", forbidden)
    with pytest.raises(DataError, match=r"metrics\.json cannot be read: Permission denied$"):
        directory.read_record()


def test_the_manifest_lists_the_checksum_of_every_file(directory):
    directory.write_weights({"0.weight": np.ones((2, 3), dtype=np.float32)})
    directory.write_log(["one line"])
    directory.finish(RECORD)
    manifest = json.loads((directory.path / "manifest.json").read_text())
    present = {path.name for path in directory.path.iterdir()} - {"manifest.json"}
    assert set(manifest["files"]) == present
    for name, digest in manifest["files"].items():
        assert hashlib.sha256((directory.path / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("listed", [True, False])
def test_a_record_that_was_edited_is_refused_and_one_without_a_checksum_is_marked(directory, listed):
    directory.finish(RECORD)
    record = json.loads((directory.path / "metrics.json").read_text())
    record["metrics"]["test"]["accuracy"] = 0.9999
    (directory.path / "metrics.json").write_text(json.dumps(record))
    if listed:
        with pytest.raises(DataError, match=r"metrics\.json was altered"):
            directory.read_record()
        assert find_finished(directory.path.parent, "abc") is None
    else:
        manifest = json.loads((directory.path / "manifest.json").read_text())
        del manifest["files"]["metrics.json"]
        (directory.path / "manifest.json").write_text(json.dumps(manifest))
        assert directory.read_record().notes == (*RECORD.notes, UNVERIFIED)


@pytest.mark.parametrize("n_written", [0, 1, 2])
@pytest.mark.parametrize("before", [None, "interrupted"])
def test_a_kill_while_a_run_finishes_leaves_an_unfinished_or_a_finished_run(directory, monkeypatch, n_written, before):
    if before:
        directory.finish(replace(RECORD, status=before))
    written = []

    def write_until_killed(target, data):
        if len(written) == n_written:
            raise KeyboardInterrupt
        written.append(target.name)
        write_whole(target, data)

    monkeypatch.setattr("mlcli.runs.directory.write_whole", write_until_killed)
    with contextlib.suppress(KeyboardInterrupt):
        directory.finish(RECORD)
    assert directory.has_record() == (n_written == 2)
    if directory.has_record():
        assert VerifiedFiles(directory.path).record().status == "finished"


def test_weights_in_fortran_order_are_stored_correctly(directory):
    array = np.asfortranarray(np.arange(12, dtype=np.float32).reshape(3, 4))
    directory.write_weights({"1.weight": array, "1.bias": array[0]})
    stored = load_file(directory.path / "weights.safetensors")
    np.testing.assert_array_equal(stored["1.weight"], array)
    np.testing.assert_array_equal(stored["1.bias"], array[0])


def test_the_history_grows_by_one_row_per_epoch(directory):
    directory.append_history(EPOCH)
    directory.append_history(replace(EPOCH, epoch=2, is_best=False))
    with (directory.path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert rows[0]["train_loss"] == "0.5"
    assert rows[0]["validation_loss"] == ""


def test_no_temporary_file_is_left(directory):
    directory.write_predictions({"y": np.arange(3)})
    directory.finish(RECORD)
    assert not [path for path in directory.path.iterdir() if path.name.startswith(".")]


def test_an_existing_out_directory_is_refused_and_not_changed(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("precious")
    with pytest.raises(UsageError, match="does not exist"):
        RunDirectory.create(CONFIG, tmp_path, tmp_path / "mine")
    assert (tmp_path / "mine" / "file").read_text() == "precious"


def test_a_runs_directory_that_is_a_file_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(MlcliError, match="file"):
        RunDirectory.create(CONFIG, tmp_path / "file")
    with pytest.raises(MlcliError, match="--runs-dir"):
        RunDirectory.create(CONFIG, tmp_path / "file" / "below")


def test_only_a_finished_run_of_the_same_experiment_is_found(tmp_path):
    finished, failed, unfinished = (RunDirectory.create(CONFIG, tmp_path) for _ in range(3))
    for directory in (finished, failed, unfinished):
        directory.write_config(CONFIG)
    finished.finish(RECORD)
    failed.finish(replace(RECORD, status="failed"))
    assert len(list(find_runs(tmp_path))) == 3
    found = find_finished(tmp_path, "abc")
    assert found is not None
    assert found[0].path == finished.path
    assert find_finished(tmp_path, "other") is None
    assert find_finished(tmp_path / "absent", "abc") is None


def test_a_file_is_hashed_as_it_is_written_and_not_read_again(directory, monkeypatch):
    directory.append_history(EPOCH)
    directory.write_log(["one line"])
    read = []
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.name) or path.open("rb").read())
    directory.finish(RECORD)
    assert read == ["history.csv"]  # the only file that grows
    VerifiedFiles(directory.path)


def test_the_manifest_of_a_resumed_run_lists_the_rewritten_history(directory):
    directory.append_history(EPOCH)
    directory.append_history(replace(EPOCH, epoch=2))
    directory.finish(RECORD)
    directory.reopen()
    directory.rewrite_history([EPOCH])
    directory.append_history(replace(EPOCH, epoch=2, train_loss=0.25))
    directory.finish(RECORD)
    assert [epoch.train_loss for epoch in VerifiedFiles(directory.path).history()] == [0.5, 0.25]
