"""The parity report in each format."""

from __future__ import annotations

import csv
import io
import json

import pytest

from mlcli.parity.parity import ParityPair, ParityReport, ParityStep
from mlcli.parity.report import print_parity


def steps(differences):
    return tuple(
        ParityStep(number, 1 / number, 1 / number + difference, difference, difference / 2)
        for number, difference in enumerate(differences, 1)
    )


@pytest.fixture
def report():
    drifting = [0.0] * 36 + [1e-3] * 64
    return ParityReport(
        experiment="digits_mlp",
        n_steps=100,
        batch_size=128,
        n_parameters=10,
        pairs=(
            ParityPair(("sklearn", "torch"), 1e-8, steps([0.0] * 100)),
            ParityPair(("sklearn", "keras"), 1e-8, steps(drifting)),
            ParityPair(("torch", "ray"), 1e-8, (), "no | engine"),
        ),
        notes=("dropout is off",),
    )


def test_the_table_shows_verdicts_and_the_steps_around_the_first_difference(report, capsys):
    print_parity(report, "table")
    out = capsys.readouterr().out
    for text in ("sklearn and torch", "equal", "different", "not compared", "37", "no | engine"):
        assert text in out
    shown = [
        int(line.split("│")[1]) for line in out.splitlines() if line.startswith("│") and "0." in line.split("│")[2]
    ]
    assert shown == [2, 5, 10, 20, 36, 37, 50, 100]


def test_json_contains_every_step(report, capsys):
    print_parity(report, "json")
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 1
    first, second, third = document["pairs"]
    assert (first["verdict"], second["verdict"], third["verdict"]) == ("equal", "different", "not compared")
    assert second["first_step_beyond"] == 37
    assert second["largest_loss_difference"] == pytest.approx(1e-3)
    assert len(first["steps"]) == 100
    assert third["steps"] == []
    assert third["reason"] == "no | engine"


def test_a_difference_of_nan_is_null_in_json(capsys):
    pair = ParityPair(("torch", "keras"), 1e-8, (ParityStep(1, 1.0, float("nan"), float("nan"), 0.0),))
    print_parity(ParityReport("x", 1, 1, 1, (pair,), ()), "json")
    (shown,) = json.loads(capsys.readouterr().out)["pairs"]
    assert shown["verdict"] == "different"
    assert shown["first_step_beyond"] == 1
    assert shown["steps"][0]["loss_difference"] is None


def test_csv_has_a_row_per_step_and_one_per_pair_without_steps(report, capsys):
    print_parity(report, "csv")
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == 201
    drifting = [row for row in rows if row["second"] == "keras"]
    assert next(row["step"] for row in drifting if row["is_within"] == "False") == "37"
    assert rows[-1]["reason"] == "no | engine"
    assert rows[-1]["step"] == ""


def test_markdown_consists_of_two_tables(report, capsys):
    print_parity(report, "markdown")
    first, second = capsys.readouterr().out.split("\n\n")
    assert "no \\| engine" in first
    assert second.splitlines()[0].startswith("| step |")
