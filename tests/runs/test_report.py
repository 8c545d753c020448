"""The printed list of runs, and the full description of one run."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from mlcli.runs.find import ListedRun
from mlcli.runs.report import print_one_run, print_run, print_run_list


@pytest.fixture
def runs(digits_run, iris_run):
    return [ListedRun(digits_run.record, digits_run.path, "ref-d"), ListedRun(iris_run.record, iris_run.path, "ref-i")]


def test_the_list_as_a_table(runs, capsys):
    print_run_list(runs, "runs in here", "table")
    text = capsys.readouterr().out
    accuracy = f"{runs[0].record.metrics['test'].accuracy:.4f}"
    for words in ("runs in here", "ref-d", "ref-i", "torch", "sklearn", "finished", "logistic", accuracy):
        assert words in text


def test_the_list_in_json_and_csv_has_every_value(runs, capsys):
    print_run_list(runs, "", "json")
    document = json.loads(capsys.readouterr().out)
    print_run_list(runs, "", "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    for row, other, run in zip(document["rows"], rows, runs, strict=True):
        record = run.record
        assert row["run_id"] == other["run_id"] == record.run_id
        assert row["test_accuracy"] == float(other["test_accuracy"]) == record.metrics["test"].accuracy
        assert row["created"] == record.created


def test_an_empty_list_has_no_rows_and_no_table(capsys):
    print_run_list([], "", "json")
    assert json.loads(capsys.readouterr().out)["rows"] == []
    print_run_list([], "", "table")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("width", [60, 80, 100, 130])
def test_the_list_fits_the_terminal_and_names_the_hidden_columns(runs, capsys, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    print_run_list(runs, "runs", "table")
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= width
    header = text.splitlines()[2]
    columns = ("run", "name", "status", "backend", "dataset", "model", "accuracy", "loss", "seconds", "id")
    _, _, left_out = text.partition("not shown here:")
    assert {name for name in columns if name not in header.split()} == set(left_out.replace(",", " ").split())
    assert "ref-d" in text


def test_one_run_is_shown_with_history_status_and_notes(digits_run, capsys):
    record = replace(digits_run.record, status="diverged", error="the loss became nan", notes=("watch out",))
    print_one_run(record, digits_run.path, digits_run.files.history(), "table")
    text = capsys.readouterr().out
    for words in ("diverged", "the loss became nan", "watch out", "val. loss", "History", "test accuracy"):
        assert words in text
    for epoch in digits_run.files.history():
        assert f"{epoch.validation_loss:.4f}" in text


def test_one_run_as_json(digits_run, capsys):
    print_one_run(digits_run.record, digits_run.path, digits_run.files.history(), "json")
    document = json.loads(capsys.readouterr().out)
    assert document["run_id"] == digits_run.record.run_id
    assert [epoch["epoch"] for epoch in document["history"]] == [1, 2, 3, 4]


def test_columns_without_any_value_are_not_shown(iris_run, capsys):
    print_one_run(iris_run.record, iris_run.path, iris_run.files.history(), "markdown")
    text = capsys.readouterr().out
    assert "| epoch | train loss | train acc. | seconds |" in text
    assert "val. loss" not in text
    assert "best" not in text.partition("| epoch |")[2]


def shown(record, directory, capsys):
    print_run(record, directory, "markdown")
    return capsys.readouterr().out


def test_the_kept_weights_and_the_best_epoch_are_told_apart(digits_run, capsys):
    record = replace(digits_run.record, best_epoch=2, kept_epoch=4)
    text = shown(record, digits_run.path, capsys)
    assert "| best epoch (validation) | 2 of 4 |" in text
    assert "| weights | of epoch 4, the last |" in text
    restored = shown(replace(record, kept_epoch=2), digits_run.path, capsys)
    assert "| weights | of epoch 2, the best |" in restored


def test_training_scores_of_a_part_of_the_split_say_so(forest_run, capsys):
    record = forest_run.record
    metrics = record.metrics | {"train": replace(record.metrics["train"], accuracy=0.75, n_samples=2000)}
    text = shown(replace(record, metrics=metrics, n_train_samples=60_000), forest_run.path, capsys)
    assert "| train accuracy | 0.7500  (of 2,000 of 60,000 samples) |" in text
    assert "samples/s" not in text


def test_the_median_epoch_and_the_time_of_the_training_scores_are_shown(digits_run, capsys):
    record = digits_run.record
    text = shown(record, digits_run.path, capsys)
    assert f"| median epoch | {record.median_epoch_seconds:.3f} s |" in text
    assert f"| score training data | {record.timing.score_train_seconds:.3f} s |" in text
    assert record.median_epoch_seconds == sorted(epoch.seconds for epoch in digits_run.files.history()[1:])[1]
