"""Finding the run that a reference names, and listing the runs that match a query."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError
from mlcli.records import RunRecord
from mlcli.runs import RunQuery
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import describe_run, find_run, find_runs, list_runs, next_moment

EVERYTHING = RunQuery()
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
def test_a_reference_that_cannot_be_a_directory_name_is_refused(runs, reference):
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


def names(found):
    return [run.record.name for run in found.runs]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (RunQuery(), {"digits", "iris", "forest"}),
        (RunQuery(backend="torch"), {"digits"}),
        (RunQuery(dataset="iris"), {"iris", "forest"}),
        (RunQuery(dataset="iris", name="f*"), {"forest"}),
        (RunQuery(name="ir"), set()),
        (RunQuery(status="failed"), set()),
        (RunQuery(status="finished"), {"digits", "iris", "forest"}),
    ],
)
def test_a_query_selects_runs(stored_runs, wanted, expected):
    assert set(names(list_runs(stored_runs, wanted))) == expected


@pytest.mark.parametrize("key", ["accuracy", "loss", "time", "name", "backend", "dataset", "status", "created"])
def test_runs_are_sorted_by_every_key(stored_runs, key):
    found = list_runs(stored_runs, RunQuery(sort=key)).runs
    values = {
        "accuracy": [-run.record.metrics["test"].accuracy for run in found],
        "loss": [run.record.metrics["test"].loss for run in found],
        "time": [run.record.timing.total_seconds for run in found],
        "name": names(list_runs(stored_runs, RunQuery(sort=key))),
        "backend": [run.record.backend for run in found],
        "dataset": [run.record.dataset for run in found],
        "status": [run.record.status for run in found],
        "created": [run.record.created for run in reversed(found)],
    }[key]
    assert values == sorted(values)


def test_runs_without_a_value_come_last(stored_runs, tmp_path):
    shutil.copytree(stored_runs, tmp_path / "runs")
    (tmp_path / "runs" / "20260101T000000Z_digits" / "metrics.json").unlink()
    for key in ("accuracy", "loss", "time"):
        assert names(list_runs(tmp_path / "runs", RunQuery(sort=key)))[-1] == "digits"


def test_the_limit_is_applied_after_sorting_and_the_rest_is_counted(stored_runs):
    found = list_runs(stored_runs, RunQuery(sort="name", limit=2))
    assert names(found) == ["digits", "forest"]
    assert found.n_matching == 3


def test_each_reference_finds_its_run_again(stored_runs, tmp_path):
    for run_id in ("20260101T000000Z_same_a1", "20260101T000000Z_same_a2", "20260102T000000Z_other"):
        shutil.copytree(stored_runs / "20260101T000000Z_iris", tmp_path / run_id)
    found = list_runs(tmp_path, EVERYTHING)
    assert {run.reference for run in found.runs} == {
        "20260101T000000Z_same_a1", "20260101T000000Z_same_a2", "20260102T000000Z",
    }  # fmt: skip
    for run in found.runs:
        assert find_run(run.reference, tmp_path).path == run.directory


def test_a_run_that_cannot_be_read_is_not_listed_and_named(stored_runs, tmp_path):
    shutil.copytree(stored_runs / "20260101T000000Z_iris", tmp_path / "broken")
    (tmp_path / "broken" / "metrics.json").write_text("{")
    found = list_runs(tmp_path, EVERYTHING)
    assert found.runs == ()
    assert "metrics.json" in found.issues[0]


def test_an_unfinished_run_is_described_by_its_files(digits_copy):
    (digits_copy / "metrics.json").unlink()
    history = (digits_copy / "history.csv").read_text().splitlines(keepends=True)
    (digits_copy / "history.csv").write_text("".join(history[:3]) + history[3][:10])
    record = describe_run(RunDirectory(digits_copy))
    assert (record.status, record.epochs, record.name, record.backend) == ("unfinished", 2, "digits", "torch")
    assert (record.device, record.threads) == ("cpu", 1)
    assert record.metrics == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"status": "finishd"}, "did you mean 'finished'"), ({"backend": "tensor"}, "unknown backend 'tensor'")],
)
def test_unknown_values_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        RunQuery(**settings)


def test_an_unknown_key_is_refused():
    with pytest.raises(UsageError, match="--sort: unknown key 'acuracy' .did you mean 'accuracy'"):
        RunQuery(sort="acuracy")


def test_the_notes_tell_what_is_not_listed(stored_runs, tmp_path):
    assert list_runs(stored_runs, EVERYTHING).notes(stored_runs) == []
    assert list_runs(stored_runs, RunQuery(limit=2)).notes(stored_runs) == ["2 of 3 runs; --limit 0 lists all"]
    assert list_runs(tmp_path, EVERYTHING).notes(tmp_path) == [f"no matching run in {tmp_path}"]


FIRST, SECOND = "20260101T000000000Z_n_torch_s0_a1b2c3d", "20260101T000001000Z_n_torch_s1_a1b2c99"
TWIN = "20260101T000002000Z_n_torch_s2_a1b2c3d"


@pytest.fixture
def with_ids(tmp_path):
    def make(*run_ids):
        for run_id in run_ids:
            directory = RunDirectory(tmp_path / run_id)
            directory.path.mkdir()
            directory.write_config(CONFIG)
            directory.finish(record(run_id, "finished"))
        return tmp_path

    return make


def test_a_short_id_names_its_run_and_the_list_shows_it(with_ids):
    runs = with_ids(FIRST, SECOND)
    assert find_run("a1b2c3d", runs).run_id == FIRST
    assert find_run("a1b2c9", runs).run_id == SECOND
    assert {run.reference for run in list_runs(runs, EVERYTHING).runs} == {"a1b2c3d", "a1b2c99"}
    with pytest.raises(UsageError, match=f"'a1b2c' matches 2 runs: {SECOND}, {FIRST}"):
        find_run("a1b2c", runs)


def test_a_short_id_that_two_runs_have_is_ambiguous_and_not_shown(with_ids):
    runs = with_ids(FIRST, SECOND, TWIN)
    with pytest.raises(UsageError, match=f"matches 2 runs: {TWIN}, {FIRST}"):
        find_run("a1b2c3d", runs)
    found = list_runs(runs, EVERYTHING).runs
    assert "a1b2c3d" not in {run.reference for run in found}
    for run in found:
        assert find_run(run.reference, runs).path == run.directory


def test_a_run_with_a_chosen_name_is_as_old_as_its_record_says(with_ids, tmp_path):
    runs = with_ids(FIRST)
    chosen = RunDirectory(runs / "a_chosen_name")
    chosen.path.mkdir()
    chosen.write_config(CONFIG)
    for created, last in (("2027-01-01T00:00:00+00:00", "a_chosen_name"), ("2025-01-01T00:00:00+00:00", FIRST)):
        chosen.finish(replace(record("a_chosen_name", "finished"), created=created))
        assert find_run("last", runs).run_id == last
        copied = shutil.copytree(runs, tmp_path / f"copy-of-{last}", ignore=shutil.ignore_patterns("copy-*"))
        assert find_run("last", copied).run_id == last


def test_a_run_created_after_the_clock_was_set_back_is_still_the_last(with_ids):
    runs = with_ids("29990101T000000000Z_n_torch_s0_aaaaaaa")
    moment = next_moment(runs)
    assert f"{moment:%Y-%m-%d %H:%M:%S.%f}" == "2999-01-01 00:00:00.001000"
    created = RunDirectory.create(CONFIG, runs, moment=moment)
    created.write_config(CONFIG)
    created.finish(record(created.run_id, "finished"))
    assert find_run("last", runs).run_id == created.run_id


@pytest.mark.parametrize("run_id", ["99991231T235959999Z_n_torch_s0_aaaaaaa", "99999999T999999999Z_n_torch_s0_aaaaaaa"])
def test_a_name_from_the_end_of_the_calendar_does_not_keep_runs_from_starting(with_ids, run_id):
    assert next_moment(with_ids(run_id)).year < 9999


def test_the_time_of_a_new_run_is_now_in_an_empty_directory(tmp_path):
    assert abs((next_moment(tmp_path / "none") - datetime.now(UTC)).total_seconds()) < 3600
