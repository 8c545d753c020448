"""Text of any origin is printed safely, and JSON is always valid."""

from __future__ import annotations

import json

import pytest

from mlcli.text import escaped, first_line, printable, to_json


def test_json_has_null_for_every_number_that_is_not_finite():
    document = json.loads(to_json({"a": float("nan"), "b": [float("inf"), 1.5], "c": {"d": float("-inf")}}))
    assert document == {"a": None, "b": [None, 1.5], "c": {"d": None}}


@pytest.mark.parametrize(
    ("text", "shown"), [("a\x1b[2J", "a\\x1b[2J"), ("\u202eb", "\\u202eb"), ("ä ü", "ä ü"), ("\udcff", "\\udcff")]
)
def test_control_characters_are_escaped(text, shown):
    assert escaped(text) == printable(text) == first_line(text) == shown


def test_line_breaks_are_kept_only_where_text_has_several_lines():
    assert printable("one\ntwo\r") == "one\ntwo\\r"
    assert escaped("one\ntwo") == "one\\ntwo"
    assert first_line(" one\ntwo") == "one"


def test_long_text_is_shortened():
    assert escaped("x" * 100, 10) == "xxxxxxx..."
    assert len(first_line("x" * 1000)) == 200
