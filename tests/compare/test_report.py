"""The output of a comparison and of a comparability report in every format."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.records import Receipt, ReceiptRow
from mlcli.compare.report import print_comparison, print_receipt, report_comparison
from mlcli.errors import MlcliError
from tests.fixtures.comparisons import THREE, TWICE


def test_json_holds_every_measurement(comparison_of, capsys):
    print_comparison(comparison_of(THREE), "json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 3
    assert [run["fit_seconds"] for run in document["variants"][1]["runs"]] == TWICE
    assert [(pair["variant"], pair["accuracy_is"], pair["time_is"]) for pair in document["pairs"]] == [
        ("b", "worse", "slower"), ("c", "tie", "tie"), ("c", "better", "faster"),
    ]  # fmt: skip


def test_csv_has_a_row_per_variant_and_the_rest_on_stderr(comparison_of, capsys):
    print_comparison(comparison_of(THREE), "csv")
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [(row["variant"], row["accuracy_is"], row["time_is"]) for row in rows] == [
        ("a", "", ""), ("b", "worse", "slower"), ("c", "tie", "tie"),
    ]  # fmt: skip
    assert "accuracy: a tie; c and a are the most accurate" in captured.err


def test_markdown_is_a_pipe_table(comparison_of, capsys):
    print_comparison(comparison_of(THREE), "markdown")
    out = capsys.readouterr().out
    mean = "(± half of 95 % interval)"
    assert f"| backend | seeds | accuracy {mean} | loss {mean} | difference vs a (pp) | verdict |" in out
    assert out.startswith("- accuracy: a tie; c and a are the most accurate, the others are less accurate")


def test_the_answer_comes_first_and_the_method_only_on_request(comparison_of, receipt, capsys):
    comparison = replace(comparison_of(THREE), receipt=receipt, next_step="to settle accuracy: mlcli compare x")
    print_comparison(comparison, "table")
    brief = capsys.readouterr().out
    assert brief.startswith("accuracy: a tie; c and a are the most accurate")
    assert brief.index("to settle accuracy: mlcli compare x") < brief.index("named on digits")
    assert "all other conditions were equal in all runs; --explain lists them and the method" in brief
    assert "engine" in brief, "what differed is always shown"
    print_comparison(comparison, "table", explain=True)
    whole = " ".join(capsys.readouterr().out.split())
    for text in ("dataset digits", "Holm 1979"):
        assert text in whole
        assert text not in brief


def test_a_table_fits_a_hundred_columns(comparison_of, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    comparison = comparison_of({"sklearn" if label == "a" else label: runs for label, runs in THREE.items()})
    print_comparison(comparison, "table")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("…" in line for line in lines) == 0
    assert sum(line.strip(" │").startswith("b  ") for line in lines) == 2  # one line per variant in each table


def test_a_file_that_cannot_be_written_is_named(comparison_of, tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "out.json"
    with pytest.raises(MlcliError, match="cannot be written"):
        report_comparison(comparison_of(THREE), CompareRequest(output_format="json", output=path))


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


def test_a_receipt_shows_differences_first(receipt, capsys):
    print_receipt(receipt, "table")
    differences, controlled = capsys.readouterr().out.split("controlled")
    for text in ("initial weights", "0123456789ab", "ffffffffffff", "torch", "keras", "128", "none"):
        assert text in differences
    assert DIGESTS[0] not in differences
    assert "dataset digits" in controlled
    assert "early stopping" not in controlled
    assert "run 1: 20260101_a_torch" in controlled


def test_a_receipt_without_differences_states_that(capsys):
    print_receipt(Receipt(("a", "b"), (ReceiptRow("data", "dataset", ("digits", "digits")),)), "table")
    assert "no differences" in capsys.readouterr().out.splitlines()


def test_a_receipt_of_many_runs_lists_the_runs_of_each_value(capsys):
    print_receipt(Receipt(tuple("abcdef"), (ReceiptRow("model", "seed", tuple("001122")),)), "table")
    assert "0: run 1, run 2 | 1: run 3, run 4 | 2: run 5, run 6" in capsys.readouterr().out


def test_a_receipt_in_json_and_csv_has_all_values_in_full(receipt, capsys):
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


def test_a_receipt_in_markdown_has_a_table_of_differences_and_one_of_what_was_controlled(receipt, capsys):
    print_receipt(receipt, "markdown")
    differences, controlled = capsys.readouterr().out.split("**controlled**")
    assert [line.split("|")[1].strip() for line in differences.splitlines()[4:] if line] == [
        "initial weights",
        "engine",
        "batch size",
    ]
    assert "| data | dataset digits |" in controlled
    assert "- run 2: 20260101_a_keras" in controlled
