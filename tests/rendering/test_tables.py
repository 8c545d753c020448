"""Tables on terminals of different widths."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlcli.rendering.tables import print_fields, print_markdown, print_table

ROWS = [
    {"engine": "sklearn and torch", "largest_loss_difference": 2.431e-16, "loss": "2.431601091592", "note": "same"},
    {"engine": "sklearn and keras", "largest_loss_difference": 1.5, "loss": "1.887668435812", "note": None},
]


def shown(capsys, monkeypatch, width, rows=ROWS, optional=()):
    monkeypatch.setenv("COLUMNS", str(width))
    print_table("title", rows, optional)
    return capsys.readouterr().out.splitlines()


def test_a_wide_terminal_shows_one_line_per_row_in_a_frame(capsys, monkeypatch):
    lines = shown(capsys, monkeypatch, 120)
    assert len(lines) == 7
    assert lines[1].startswith("╭")
    assert "│ sklearn and torch │               2.431e-16 │ 2.431601091592 │ same │" in lines


def test_a_title_longer_than_its_table_is_not_wrapped(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    title = "a title of more than forty-six characters, which a narrow table has"
    print_table(title, [{"n": 1}])
    print_fields(title, [[("n", "1")]])
    assert [line for line in capsys.readouterr().out.splitlines() if "title" in line] == [title, title]


@pytest.mark.parametrize("width", [10, 40, 50, 60])
def test_numbers_and_words_are_never_broken(capsys, monkeypatch, width):
    words = " ".join(shown(capsys, monkeypatch, width)).split()
    for word in ("2.431601091592", "1.887668435812", "2.431e-16", "difference", "sklearn", "torch", "keras", "same"):
        assert word in words


@pytest.mark.parametrize("width", range(45, 90, 5))
def test_a_table_uses_no_more_than_the_width_of_the_terminal(capsys, monkeypatch, width):
    assert max(map(len, shown(capsys, monkeypatch, width))) <= width


def test_optional_columns_are_dropped_and_listed(capsys, monkeypatch):
    text = " ".join(" ".join(shown(capsys, monkeypatch, 60, optional=("note", "largest_loss_difference"))).split())
    assert "not shown here: note, largest loss difference" in text
    assert "same" not in text
    assert "sklearn and torch" in text


def test_long_words_are_broken(capsys, monkeypatch):
    lines = shown(capsys, monkeypatch, 40, [{"path": "/long" * 20, "n": 1}])
    assert max(map(len, lines)) <= 40
    assert "".join(line.split()[0] for line in lines if "long" in line) == "/long" * 20


def test_values_that_do_not_fit_and_cannot_be_wrapped_are_printed_below_the_table(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    run_id = "20261102T000000000Z_iris_mlp_torch_s0_bbbbbb"
    print_fields("title", [[("accuracy of the test split", "0.9"), ("run", run_id)], [("note", "two words " * 10)]])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"run: {run_id}"
    assert max(map(len, lines)) <= 60


def test_a_number_and_its_interval_are_not_separated(capsys, monkeypatch):
    rows = [{"accuracy": "0.9733 ± 0.0000", "reason": "the training loss became nan in the first step"}]
    assert any("0.9733 ± 0.0000" in line for line in shown(capsys, monkeypatch, 24, rows))


def test_cells_have_the_style_of_their_text():
    console = Console(file=io.StringIO(), force_terminal=True, color_system="standard")
    print_table("title", [{"verdict": "better"}, {"verdict": "tie"}], styles={"better": "green"}, console=console)
    text = console.file.getvalue()
    assert "\x1b[32mbetter" in text
    assert "\x1b[32mtie" not in text


def test_names_of_fields_become_words_but_labels_do_not(capsys):
    print_table("", [{"n_test_samples": 1, "svc__C": 2, "vs max_iter=5": 3, "torch:_loss": 4}])
    print_markdown([{"n_test_samples": 1, "svc__C": 2, "vs max_iter=5": 3, "torch:_loss": 4}])
    out = capsys.readouterr().out
    assert all(out.count(text) == 2 for text in ("test samples", "svc__C", "vs max_iter=5", "torch: loss"))


def test_a_table_that_is_too_wide_does_not_widen_the_next_one():
    console = Console(file=io.StringIO(), width=40)
    print_table("wide", [dict.fromkeys("abcdef", "1234567890")], console=console)
    print_table("text", [{"text": "words " * 20}], console=console)
    lines = console.file.getvalue().splitlines()
    assert max(len(line.rstrip()) for line in lines[lines.index("text") :]) <= 40


@pytest.mark.parametrize(("width", "is_shown"), [(60, True), (44, True), (40, False)])
def test_droppable_columns_stay_as_long_as_wrapping_suffices(capsys, monkeypatch, width, is_shown):
    monkeypatch.setenv("COLUMNS", str(width))
    row = {"n": 123_456_789_012, "memory": 1_123_456_789, "verdict": "better by many points"}
    print_table("title", [row], droppable=("memory",))
    shown = capsys.readouterr().out
    assert ("1,123,456,789" in shown, "not shown here: memory" in shown) == (is_shown, not is_shown)
    assert max(map(len, shown.splitlines())) <= width
