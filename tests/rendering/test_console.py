"""Untrusted text is printed literally: control characters, markup, Markdown and formulas in it have no effect."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace
from datetime import datetime

import pytest

from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.evaluate.plots import save_evaluation_plots
from mlcli.rendering import log_file
from mlcli.rendering.console import print_notes, progress_bar, stdout_into
from mlcli.rendering.tables import print_fields, print_rows
from mlcli.runs.report import print_one_run
from mlcli.text import to_json

TERMINAL = "\x1b]0;owned\x07\x9b31m\x08\r\x7f\u202e\ufeff"


def control_characters(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


@pytest.mark.parametrize("output_format", ["table", "csv", "markdown", "json"])
@pytest.mark.parametrize("text", [TERMINAL, os.fsdecode(b"\xff\xfe"), "[red]\\[/red]|", "a\nb"])
def test_control_characters_are_escaped_in_every_format(capsys, output_format, text):
    print_rows(text, [{text: text, "n": 1}, {text: None, "n": 2}], output_format)
    shown = capsys.readouterr().out
    assert control_characters(shown) == []
    assert shown.encode()


def test_no_text_leaves_its_cell_of_markdown(capsys):
    print_rows("", [{"a": "x | y |\n| z | w |"}], "markdown")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_csv_keeps_lines_and_quotes(capsys):
    print_rows("", [{"a": 'two\nlines, with "quotes"'}], "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {"a": 'two\nlines, with "quotes"'}


def test_json_escapes_more_control_characters_than_json_requires(capsys):
    text = to_json({TERMINAL: [TERMINAL]})
    assert control_characters(text) == []
    assert json.loads(text) == {TERMINAL: [TERMINAL]}
    assert json.loads(to_json({"a": os.fsdecode(b"\xff")})) == {"a": "\\udcff"}


def test_fields_and_notes_are_escaped(capsys):
    print_fields(TERMINAL, [[(TERMINAL, TERMINAL)]])
    print_notes([TERMINAL, "[bold]no markup[/bold]"])
    shown = capsys.readouterr()
    assert control_characters(shown.out + shown.err) == []
    assert "[bold]no markup[/bold]" in shown.err
    assert "\\x1b]0;owned\\x07" in shown.out


def test_a_record_is_escaped_even_if_it_was_not_read_from_a_file(digits_run, capsys):
    record = replace(digits_run.record, error=f"first\n{TERMINAL}", notes=(TERMINAL,), status="failed")
    for output_format in ("table", "csv", "markdown", "json"):
        print_one_run(record, digits_run.path, [], output_format)
        assert control_characters(capsys.readouterr().out) == []


def test_names_in_plots_are_not_read_as_formulas(digits_run, tmp_path):
    result = evaluate(digits_run, EvaluateRequest("", threads=1))
    names = (r"$\nothing{$", "a$b", "$$", "\\", *"456789")
    classes = tuple(replace(old, name=name) for old, name in zip(result.evaluation.classes, names, strict=True))
    evaluation = replace(result.evaluation, classes=classes, run_id=r"run_$\bad$")
    preprocessing = replace(digits_run.preprocessing, class_names=names)
    changed = replace(result, evaluation=evaluation, preprocessing=preprocessing)
    paths = save_evaluation_plots(changed, digits_run.files.history(), 5, tmp_path, "png")
    assert all(path.stat().st_size > 1000 for path in paths)


def test_a_result_is_written_to_a_file_completely_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "bench.csv"
    with stdout_into(target):
        print("a,b")
    assert target.read_text() == "a,b\n"
    with pytest.raises(ZeroDivisionError), stdout_into(target):
        print("half", 1 / 0)
    assert target.read_text() == "a,b\n"
    assert [path.name for path in target.parent.iterdir()] == ["bench.csv"]


def test_a_log_file_gets_messages_with_their_time_but_no_frames(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log_file, "_file", None)
    print_notes(["before"])
    log_file.open_log(tmp_path / "new" / "log.txt")
    print_notes(["[one]", "two"])
    with progress_bar("predicting", quiet=False) as on_batch:
        on_batch(1, 2)
    log_file.log("mlcli: failed\n       here\n")
    lines = (tmp_path / "new" / "log.txt").read_text().splitlines()
    assert [line.split(" ", 1)[1] for line in lines] == ["note: [one]", "note: two", "mlcli: failed", "       here"]
    assert datetime.fromisoformat(lines[0].split(" ")[0]).tzinfo
