"""Untrusted text is printed safely, and JSON is always valid."""

from __future__ import annotations

import json

import pytest

from mlcli.text import escaped, first_line, listed, printable, to_json


def test_json_has_null_for_every_number_that_is_not_finite():
    document = json.loads(to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": float("-inf")}}))
    assert document == {"a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"), ("a\x1b[2J", "a\\x1b[2J"), ("\x1b[0m", "\\x1b[0m"), ("\u202eb", "\\u202eb"), ("ä ü", "ä ü"),
        ("é☃", "é☃"), ("\udcff", "\\udcff"), ("\ud800", "\\ud800"),
    ],
)  # fmt: skip
def test_control_characters_are_escaped(text, shown):
    assert escaped(text) == printable(text) == first_line(text) == shown
    assert printable(f"\t{text}\n") == f"\\t{shown}\n"


def test_the_first_line_of_an_error_is_its_type_if_it_has_no_text():
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line("") == ""


@pytest.mark.parametrize(
    ("n_shown", "text"), [(1, "a and 2 more"), (2, "a, b and 1 more"), (3, "a, b, c"), (4, "a, b, c")]
)
def test_a_long_list_ends_with_the_number_of_the_others(n_shown, text):
    assert listed(["a", "b", "c"], n_shown) == text


def test_line_breaks_are_kept_only_where_text_has_several_lines():
    assert printable("one\ntwo\r") == "one\ntwo\\r"
    assert escaped("one\ntwo") == "one\\ntwo"
    assert first_line(" one\ntwo") == "one"


def test_long_text_is_shortened():
    assert escaped("x" * 100, 10) == "xxxxxxx..."
    assert len(first_line("x" * 1000)) == 200
