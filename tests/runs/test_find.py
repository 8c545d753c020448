"""Find the run that a reference names."""

from __future__ import annotations

import json

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError
from mlcli.records import RunRecord
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run, find_runs

CONFIG = ExperimentConfig(name="n", backend="torch")


def record(run_id, status):
    return RunRecord(
        run_id=run_id, name="n", status=status, backend="torch", dataset="digits", model="mlp", seed=0, metrics={},
        timing=None, epochs=None, best_epoch=None, samples_per_second=None, n_parameters=None, device="cpu", threads=1,
        peak_memory_bytes=None, notes=(), digests={}, mlcli_version="0", created="2026-01-01T00:00:00+00:00",
    )  # fmt: skip


@pytest.fixture
def runs(tmp_path):
    for run_id, status in (
        ("20260101T000000Z_a", "finished"), ("20260101T000000Z_ab", "finished"), ("20260102T000000Z_c", "failed"),
        ("20260103T000000Z_d", None),
    ):  # fmt: skip
        directory = RunDirectory(tmp_path / run_id)
        directory.path.mkdir()
        directory.write_config(CONFIG)
        if status:
            directory.finish(record(run_id, status))
    return tmp_path


@pytest.mark.parametrize(
    ("reference", "run_id"),
    [
        ("20260102", "20260102T000000Z_c"),
        ("20260103T000000Z_d", "20260103T000000Z_d"),
        ("20260101T000000Z_ab", "20260101T000000Z_ab"),
        # An id in full wins over one that it is a prefix of.
        ("20260101T000000Z_a", "20260101T000000Z_a"),
        ("last", "20260101T000000Z_ab"),
    ],
)
def test_a_reference_finds_its_run(runs, reference, run_id):
    assert find_run(reference, runs).run_id == run_id


def test_a_run_is_found_by_its_directory_anywhere(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(runs)
    assert find_run("20260102T000000Z_c", tmp_path / "elsewhere").path == runs / "20260102T000000Z_c"
    monkeypatch.chdir(runs / "20260102T000000Z_c")
    assert find_run(".", tmp_path / "elsewhere").run_id == "20260102T000000Z_c"


def test_an_ambiguous_prefix_names_the_candidates(runs):
    with pytest.raises(UsageError, match="matches 2 runs: 20260101T000000Z_ab, 20260101T000000Z_a"):
        find_run("20260101", runs)


def test_a_reference_without_a_run_names_the_directory_and_the_nearest(runs):
    with pytest.raises(UsageError) as caught:
        find_run("20260102T000000Z_cc", runs)
    assert str(runs) in str(caught.value)
    assert "nearest: 20260102T000000Z_c" in str(caught.value)


def test_no_runs_at_all(tmp_path):
    with pytest.raises(UsageError, match="no runs in"):
        find_run("x", tmp_path / "none")
    with pytest.raises(UsageError, match="no finished run in"):
        find_run("last", tmp_path / "none")


def test_a_folder_that_is_not_a_run_is_refused(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="not a run directory"):
        find_run(str(tmp_path / "folder"), tmp_path)


@pytest.mark.parametrize("reference", ["x" * 300, "x\0y", "x/" * 3000, "", "\udcff"])
def test_a_reference_that_cannot_be_a_directory_name(runs, reference):
    with pytest.raises(UsageError, match="no run|matches 4 runs|not a run directory"):
        find_run(reference, runs)


def test_only_folders_with_a_configuration_are_runs(runs):
    (runs / "99_a_file").touch()
    (runs / "99_a_folder").mkdir()
    (runs / "99_a_link").symlink_to("nothing")
    (runs / "99_a_folder_in_place_of_a_configuration" / "config.yaml").mkdir(parents=True)
    found = [run.run_id for run in find_runs(runs)]
    assert found == ["20260103T000000Z_d", "20260102T000000Z_c", "20260101T000000Z_ab", "20260101T000000Z_a"]
    assert list(find_runs(runs / "99_a_file")) == list(find_runs(runs / "nothing")) == []


def test_last_ignores_a_record_that_cannot_be_read(runs):
    broken = RunDirectory(runs / "20260109T000000Z_z")
    broken.path.mkdir()
    broken.write_config(CONFIG)
    (broken.path / "metrics.json").write_text(json.dumps({"status": "finished"}))
    newest = RunDirectory(runs / "20260108T000000Z_y")
    newest.path.mkdir()
    newest.write_config(CONFIG)
    newest.finish(record("20260108T000000Z_y", "finished"))
    assert find_run("last", runs).run_id == "20260108T000000Z_y"
