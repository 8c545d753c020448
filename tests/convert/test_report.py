"""The report on a conversion in each output format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from mlcli.convert.conversion import Conversion, print_conversion

USAGE = "import torch\n\nmodel = load('a [b].safetensors')\n"


@pytest.fixture
def conversion():
    return Conversion(
        run_id="20260101_a_keras",
        backend="keras",
        target="torch",
        output="a [b].safetensors",
        n_bytes=4321,
        dataset="digits",
        n_samples=359,
        compared="logits",
        largest_difference=1.5e-6,
        largest_relative_difference=9.7e-7,
        tolerance=1e-5,
        n_changed=0,
        accuracy=0.9,
        reported_accuracy=0.9,
        usage=USAGE,
        notes=("a note",),
    )


def test_the_table_is_followed_by_the_code(conversion, capsys):
    print_conversion(conversion, "table")
    out = capsys.readouterr().out
    for text in (
        "20260101_a_keras as a PyTorch state_dict",
        "1.5e-06",
        "9.7e-07 (tolerance 1e-05)",
        "a [b].safetensors (4,321 bytes)",
    ):
        assert text in out
    assert out.endswith("\n\n" + USAGE)


def test_a_file_that_was_not_written_is_not_reported_as_written(conversion, capsys):
    print_conversion(replace(conversion, largest_relative_difference=0.1), "table")
    assert "4,321 bytes" not in capsys.readouterr().out


def test_json_csv_and_markdown(conversion, capsys):
    print_conversion(conversion, "json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 2
    assert document["is_within"] is True
    assert document["usage"] == USAGE
    print_conversion(conversion, "csv")
    (row,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (row["n_changed"], row["is_within"]) == ("0", "True")
    assert "usage" not in row
    print_conversion(conversion, "markdown")
    assert capsys.readouterr().out.endswith(f"\n```python\n{USAGE}```\n")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"largest_relative_difference": 1.1e-5}, False),
        ({"largest_relative_difference": float("nan")}, False),
        ({"largest_difference": None, "largest_relative_difference": None}, True),
        ({"largest_difference": None, "largest_relative_difference": None, "n_changed": 1}, False),
    ],
)
def test_the_relative_difference_decides_or_without_scores_the_labels(conversion, changes, expected):
    assert replace(conversion, **changes).is_within is expected
