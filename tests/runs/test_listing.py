"""Runs are listed, filtered and sorted."""

from __future__ import annotations

import shutil

import pytest

from mlcli.errors import UsageError
from mlcli.runs import RunQuery
from mlcli.runs.directory import RunDirectory
from mlcli.runs.find import find_run
from mlcli.runs.listing import describe_run, list_runs

EVERYTHING = RunQuery()


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
def test_a_query_filters(stored_runs, wanted, expected):
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
