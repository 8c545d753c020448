"""Summaries of thousands of runs are remembered, and never believed against the files."""

from __future__ import annotations

import json
import os
import shutil

import pytest

from mlcli.errors import UsageError
from mlcli.records import RunSummary
from mlcli.runs import RunQuery
from mlcli.runs import index as index_module
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_finished, find_run, list_runs, summaries

N_RUNS = 30


@pytest.fixture
def many(tmp_path, stored_runs, monkeypatch):
    """A directory of runs that count as many, and a separate cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(index_module, "_N_READ_FIRST", 5)
    monkeypatch.setattr(index_module, "_N_WORTH_KEEPING", 20)
    source = stored_runs / "20260101T000000Z_iris"
    files = {name: (source / name).read_bytes() for name in ("config.yaml", "metrics.json", "manifest.json")}
    for number in range(N_RUNS):
        path = tmp_path / "runs" / f"20260101T0000{number:02d}000Z_iris_sklearn_s0_a{number:06d}"
        path.mkdir(parents=True)
        for name, data in files.items():
            (path / name).write_bytes(data)
    return tmp_path / "runs"


@pytest.fixture
def read(monkeypatch):
    """The run ids whose records are read, in their order."""
    names = []
    read_record = RunDirectory.read_record

    def counted(self):
        names.append(self.run_id)
        return read_record(self)

    monkeypatch.setattr(RunDirectory, "read_record", counted)
    return names


def all_of(runs):
    return [(directory.run_id, found) for directory, found in summaries(runs)]


def change(path, **values):
    document = json.loads((path / "metrics.json").read_text()) | values
    (path / "metrics.json").write_text(json.dumps(document))
    (path / "manifest.json").write_text('{"algorithm": "sha256", "files": {}}')


def test_records_are_read_once(many, read):
    first = all_of(many)
    assert len(read) == len(first) == N_RUNS
    read.clear()
    assert all_of(many) == first
    assert len(read) == 5
    read.clear()
    digest = first[0][1].experiment
    assert find_finished(many, digest)[0].run_id == first[0][0]
    assert find_finished(many, "0" * 64) is None
    assert len(list_runs(many, RunQuery(sort="accuracy", limit=3)).runs) == 3
    assert len(read) <= 1 + 1 + 5 + 5 + 3


def test_the_newest_run_is_found_by_reading_it_alone(many, read):
    assert find_run("last", many).run_id == max(os.listdir(many))
    assert len(read) == 1


def test_a_changed_a_new_and_a_deleted_run_are_noticed(many):
    before = dict(all_of(many))
    changed, deleted, *_ = sorted(before)
    change(many / changed, status="failed", name="changed")
    shutil.rmtree(many / deleted)
    shutil.copytree(many / max(before), many / "20270101T000000000Z_iris_sklearn_s0_b000000")
    after = dict(all_of(many))
    assert (after[changed].status, after[changed].name) == ("failed", "changed")
    assert set(after) == set(before) - {deleted} | {"20270101T000000000Z_iris_sklearn_s0_b000000"}


def test_an_unfinished_run_that_finishes_is_noticed(many):
    path = many / min(os.listdir(many))
    metrics = (path / "metrics.json").read_bytes()
    (path / "metrics.json").unlink()
    assert dict(all_of(many))[path.name].status == "unfinished"
    (path / "metrics.json").write_bytes(metrics)
    assert dict(all_of(many))[path.name].status == "finished"


@pytest.mark.parametrize("content", [b"", b"{", b"[2, {}]", b'[1, {"x": 7}]', b"\xff", b"[" * 100_000])
def test_any_content_of_the_cache_is_replaced(many, tmp_path, content):
    before = all_of(many)
    (cached,) = (tmp_path / "cache").rglob("*.json")
    cached.write_bytes(content)
    assert all_of(many) == before
    assert len(json.loads(cached.read_text())[1]) == N_RUNS


def test_a_cache_that_lies_about_the_state_of_a_file_is_not_believed(many, tmp_path):
    before = all_of(many)
    (cached,) = (tmp_path / "cache").rglob("*.json")
    lie = RunSummary("failed", "lie", "x", "x", "x", "", "", None, None, None)
    cached.write_text(json.dumps([1, {run_id: ("1 2 3 4", lie) for run_id, _ in before}]))
    assert all_of(many) == before


def test_a_cache_that_cannot_be_written_changes_nothing(many, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert len(all_of(many)) == N_RUNS
    assert (tmp_path / "file").read_bytes() == b""


def test_few_runs_need_no_cache(stored_runs, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    list_runs(stored_runs, RunQuery())
    with pytest.raises(UsageError):
        find_run("nothing", stored_runs)
    assert not (tmp_path / "cache").exists()
