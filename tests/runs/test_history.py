"""The history of a run is plain CSV that is read back exactly, with line ends of either kind."""

from __future__ import annotations

import math

import pytest

from mlcli.records import EpochRecord
from mlcli.runs.history import history_bytes, parsed_history

EPOCHS = [
    EpochRecord(1, 0.1, 0.1 + 0.2, 1 / 3, None, None, 0.25, 400.0, True),
    EpochRecord(2, None, 5e-324, 1.0, math.pi, 0.5, 1e-9, 1e12, False),
]


def test_every_number_is_read_back_exactly():
    data = history_bytes(EPOCHS[:1], with_header=True) + history_bytes(EPOCHS[1:], with_header=False)
    assert parsed_history(data) == EPOCHS


def test_lines_end_with_a_line_feed():
    assert b"\r" not in history_bytes(EPOCHS, with_header=True)


def test_lines_of_earlier_versions_end_with_a_carriage_return_too():
    assert parsed_history(history_bytes(EPOCHS, with_header=True).replace(b"\n", b"\r\n")) == EPOCHS


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data.replace(b"epoch", b"round"),
        lambda data: data[: data.rindex(b",")],
        lambda data: data.replace(b"True", b"yes"),
        lambda data: data + b"\xff",
        lambda data: data.replace(b"0.25", b"long"),
        lambda data: data.replace(b"\n2,", b"\n" + b"9" * 30 + b","),
    ],
)
def test_other_content_is_refused(damage):
    with pytest.raises(ValueError, match=r"\w"):
        parsed_history(damage(history_bytes(EPOCHS, with_header=True)))
