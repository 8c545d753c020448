"""What anybody wrote is shown, and not obeyed: by a terminal, by rich, by a table of Markdown, by matplotlib."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import replace

import pytest

from mlcli.evaluate.evaluate import EvaluationRequest, evaluate
from mlcli.evaluate.plots import save_evaluation_plots
from mlcli.rendering.console import print_notes, stdout_into
from mlcli.rendering.tables import print_fields, print_rows
from mlcli.runs.report import print_one_run
from mlcli.text import first_line, printable, to_json

TERMINAL = "\x1b]0;owned\x07\x9b31m\x08\r\x7f\u202e\ufeff"


def obeyed(text):
    return [character for character in text if not character.isprintable() and character != "\n"]


@pytest.mark.parametrize("output_format", ["table", "csv", "markdown", "json"])
@pytest.mark.parametrize("text", [TERMINAL, os.fsdecode(b"\xff\xfe"), "[red]\\[/red]|", "a\nb"])
def test_tables_in_every_format(capsys, output_format, text):
    print_rows(text, [{text: text, "n": 1}, {text: None, "n": 2}], output_format)
    shown = capsys.readouterr().out
    assert obeyed(shown) == []
    assert shown.encode()


def test_no_text_breaks_out_of_its_row_of_markdown(capsys):
    print_rows("", [{"a": "x | y |\n| z | w |"}], "markdown")
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_csv_brings_lines_back_as_they_were(capsys):
    print_rows("", [{"a": 'two\nlines, with "quotes"'}], "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert row == {"a": 'two\nlines, with "quotes"'}


def test_json_escapes_what_json_lets_through(capsys):
    text = to_json({TERMINAL: [TERMINAL]})
    assert obeyed(text) == []
    assert json.loads(text) == {TERMINAL: [TERMINAL]}
    assert json.loads(to_json({"a": os.fsdecode(b"\xff")})) == {"a": "\\udcff"}


def test_figures_and_notes(capsys):
    print_fields(TERMINAL, [[(TERMINAL, TERMINAL)]])
    print_notes([TERMINAL, "[bold]no markup[/bold]"])
    shown = capsys.readouterr()
    assert obeyed(shown.out + shown.err) == []
    assert "[bold]no markup[/bold]" in shown.err
    assert "\\x1b]0;owned\\x07" in shown.out


def test_a_run_that_was_never_read_from_a_file(digits_run, capsys):
    record = replace(digits_run.record, error=f"first\n{TERMINAL}", notes=(TERMINAL,), status="failed")
    for output_format in ("table", "csv", "markdown", "json"):
        print_one_run(record, digits_run.path, [], output_format)
        assert obeyed(capsys.readouterr().out) == []


def test_names_are_no_formulas(digits_run, tmp_path):
    result = evaluate(digits_run, EvaluationRequest(threads=1))
    names = (r"$\nothing{$", "a$b", "$$", "\\", *"456789")
    classes = tuple(replace(old, name=name) for old, name in zip(result.evaluation.classes, names, strict=True))
    evaluation = replace(result.evaluation, classes=classes, run_id=r"run_$\bad$")
    preprocessing = replace(digits_run.preprocessing, class_names=names)
    paths = save_evaluation_plots(
        evaluation, result.samples, result.scores, preprocessing, digits_run.history(), 5, tmp_path
    )
    assert all(path.stat().st_size > 1000 for path in paths)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain", "plain"), ("a\nb", "a\nb"), ("\x1b[0m", "\\x1b[0m"), ("\t", "\\t"), ("é☃", "é☃"), ("\ud800", "\\ud800")],
)
def test_what_is_written_out(text, shown):
    assert printable(text) == shown


def test_the_first_line_of_an_error():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line("") == ""
    assert len(first_line("x" * 1000)) == 200


def test_a_result_is_written_to_a_file_completely_or_not_at_all(tmp_path):
    target = tmp_path / "new" / "bench.csv"
    with stdout_into(target):
        print("a,b")
    assert target.read_text() == "a,b\n"
    with pytest.raises(ZeroDivisionError), stdout_into(target):
        print("half", 1 / 0)
    assert target.read_text() == "a,b\n"
    assert [path.name for path in target.parent.iterdir()] == ["bench.csv"]
