"""Streams whose encoding lacks characters, and streams that cannot be written."""

from __future__ import annotations

import errno
import io
import json
import os
import sys

import pytest

from mlcli.rendering import print_json
from mlcli.rendering.streams import OutputStream, encodable, install


@pytest.fixture
def stdout(monkeypatch):
    """Return a function that replaces stdout by a stream in memory with an encoding."""
    install()  # registers how characters are replaced

    def replace(encoding):
        stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="mlcli.replacing", write_through=True)
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return replace


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [("utf-8", "± é 日 😀"), ("ascii", r"+/- \u00e9 \u65e5 \ud83d\ude00"), ("cp1252", r"± é \u65e5 \ud83d\ude00")],
)
def test_characters_that_an_encoding_lacks_are_replaced(stdout, encoding, shown):
    stream = stdout(encoding)
    assert encodable("± é 日 😀") == shown
    stream.write("± é 日 😀")
    assert stream.buffer.getvalue().decode(encoding) == shown


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_valid_utf8_in_every_encoding(stdout, encoding):
    stream = stdout(encoding)
    print_json({"name": "é ± 😀"})
    assert json.loads(stream.buffer.getvalue().decode("utf-8")) == {"name": "é ± 😀"}


def test_a_stream_keeps_the_first_failure_and_discards_the_rest():
    reader, writer = os.pipe()
    os.close(reader)
    with OutputStream(os.fdopen(writer, "wb"), "utf-8") as stream:
        assert stream.write("lost") == 4
        stream.flush()
        assert stream.error.errno == errno.EPIPE
        stream.write("x" * 100_000)
        stream.flush()
        assert stream.error.errno == errno.EPIPE
