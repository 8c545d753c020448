"""What a receipt shows in each format."""

from __future__ import annotations

import csv
import io
import json

import pytest

from mlcli.compare.receipt_report import print_receipt
from mlcli.compare.records import Receipt, ReceiptRow

DIGESTS = ("0123456789abcdef" * 4, "f" * 64)


@pytest.fixture
def receipt():
    return Receipt(
        ("20260101_a_torch", "20260101_a_keras"),
        (
            ReceiptRow("data", "dataset", ("digits", "digits")),
            ReceiptRow("model", "initial weights", DIGESTS),
            ReceiptRow("training", "engine", ("torch", "keras")),
            ReceiptRow("training", "early stopping", (None, None)),
            ReceiptRow("training", "batch size", ("128", None)),
        ),
    )


def test_the_table_puts_what_differed_first(receipt, capsys):
    print_receipt(receipt, "table")
    differed, equal = capsys.readouterr().out.split("what was held equal")
    for text in ("initial weights", "0123456789ab", "ffffffffffff", "torch", "keras", "128", "none"):
        assert text in differed
    assert DIGESTS[0] not in differed
    assert "dataset digits" in equal
    assert "early stopping" not in equal
    assert "run 1: 20260101_a_torch" in equal


def test_nothing_that_differs_is_said_in_words(capsys):
    print_receipt(Receipt(("a", "b"), (ReceiptRow("data", "dataset", ("digits", "digits")),)), "table")
    assert capsys.readouterr().out.startswith("nothing differed\n")


def test_many_runs_are_counted_in_place_of_a_column_each(capsys):
    print_receipt(Receipt(tuple("abcdef"), (ReceiptRow("model", "seed", tuple("001122")),)), "table")
    assert "0 (2 runs); 1 (2 runs); 2 (2 runs)" in capsys.readouterr().out


def test_json_and_csv_hold_everything_in_full(receipt, capsys):
    print_receipt(receipt, "json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    assert document["runs"] == list(receipt.run_ids)
    assert [row["is_equal"] for row in document["rows"]] == [True, False, False, True, False]
    assert document["rows"][1]["values"] == list(DIGESTS)
    assert document["rows"][4]["values"] == ["128", None]
    print_receipt(receipt, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert (rows[1]["run_1"], rows[1]["run_2"]) == DIGESTS


def test_markdown_is_one_table_with_differences_first(receipt, capsys):
    print_receipt(receipt, "markdown")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[3].strip() for line in lines[2:]] == ["no", "no", "no", "yes", "yes"]
