"""The closing sentences and the tables of comparisons whose conclusion is known."""

from __future__ import annotations

import csv
import io
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.comparison import compare_pairs, mean_measurements
from mlcli.compare.conclusions import conclusions
from mlcli.compare.records import (
    Comparison,
    Failure,
    MatrixCost,
    MeasuredRun,
    Receipt,
    ReceiptRow,
    RunFacts,
    Variant,
)
from mlcli.compare.report import print_comparison, print_receipt, report_comparison
from mlcli.compare.tables import TableOptions, checked_options, comparison_tables
from mlcli.errors import MlcliError, UsageError
from mlcli.records import EpochRecord

N_TEST = 1_000


def _run(label, seed, n_wrong, seconds):
    """Wrong on the first n_wrong samples, so that variants differ in exactly these."""
    correct = np.arange(N_TEST) >= n_wrong
    history = tuple(
        EpochRecord(epoch, 0.1, 1 / epoch, 0.5 + epoch / 10, None, None, seconds / 3, 100.0, False)
        for epoch in range(1, 4)
    )
    measurements = {"accuracy": 1 - n_wrong / N_TEST, "loss": 0.3, "fit_seconds": seconds, "n_parameters": 10}
    record = SimpleNamespace(run_id=f"{label}-{seed}", seed=seed)
    return MeasuredRun(RunFacts(record, None, None, {}), f"runs/{label}-{seed}", measurements, correct, "data", history)


def _comparison(variants: dict[str, tuple[list[int], list[float]]], failures=None, cost=None) -> Comparison:
    """Variants by label: wrong samples and fit seconds, each by seed."""
    made = tuple(
        Variant(
            label,
            {"backend": label},
            tuple(_run(label, seed, *run) for seed, run in enumerate(zip(wrong, seconds, strict=True))),
            tuple((failures or {}).get(label, ())),
        )
        for label, (wrong, seconds) in variants.items()
    )
    ran = [variant.label for variant in made if variant.runs]
    means = {variant.label: mean_measurements(variant) for variant in made}
    return Comparison("named", "digits", made, means, ran[0] if ran else None, compare_pairs(made), cost=cost)


STEADY = [1.0, 1.01, 0.99, 1.0, 1.0]
TWICE = [2.0, 2.03, 1.98, 2.01, 2.0]


def test_a_winner_is_named_with_the_difference_and_its_interval():
    text = " ".join(conclusions(_comparison({"a": ([90, 95, 92, 93, 91], STEADY), "b": ([10, 12, 9, 11, 10], TWICE)})))
    assert "accuracy: b is the most accurate, 8.18 [" in text
    assert "percentage points above a, the next" in text
    assert "fit time: a is the fastest, 2 [" in text
    assert "times as fast as b, the next" in text


def test_a_tie_is_called_one():
    text = conclusions(_comparison({"a": ([10, 12, 9, 11, 10], STEADY), "b": ([11, 11, 10, 10, 10], STEADY)}))
    assert text == [
        "accuracy: a tie; a and b are within 1 percentage point of the highest mean",
        "fit time: a tie; a and b are within 5 % of each other",
    ]


def test_identical_answers_are_a_tie_for_a_reason():
    text = conclusions(_comparison({"a": ([10, 12], STEADY[:2]), "b": ([10, 12], TWICE[:2])}))
    assert text[0] == "accuracy: a tie; a and b are right on the same test samples"


def test_an_inconclusive_comparison_says_how_many_seeds_are_needed():
    text = conclusions(_comparison({"a": ([10, 60, 30], [1, 2, 3]), "b": ([50, 10, 45], [3, 1, 2])}))
    assert "is not significantly different from" in text[0]
    assert re.search(r"(about|more than) \d+ more seeds needed \(\d+ in all\)", text[0])
    assert "is not significantly different from" in text[1]


def test_one_seed_is_not_enough():
    text = conclusions(_comparison({"a": ([10], [1.0]), "b": ([60], [9.0])}))
    assert "one seed is not enough, run at least 2 more" in text[0]
    assert "McNemar test of these trained models alone: p = 1.8e-15" in text[0]


def test_one_variant_has_nothing_to_compare_it_with():
    assert conclusions(_comparison({"a": ([10, 11], [1.0, 1.0])})) == ["only one variant: nothing to compare it with"]


THREE = {
    "a": ([20, 22, 19, 21, 20], STEADY),
    "b": ([90, 95, 92, 93, 91], TWICE),
    "c": ([20, 21, 19, 21, 20], [1.0, 1.0, 1.0, 1.01, 1.0]),
}


def _rows(comparison, **options):
    return [dict(row) for row in comparison_tables(comparison, TableOptions(**options))[0].rows]


def test_the_verdict_is_in_the_row_of_the_variant():
    rows = _rows(_comparison(THREE))
    assert [row["verdict"] for row in rows] == [None, "worse", "tie"]
    assert rows[1]["difference vs\na (pp)"].startswith("-7.18 [")
    assert rows[0]["accuracy"] == "0.9796 ± 0.0014"


def test_what_does_not_vary_is_no_column():
    assert "parameters" not in _rows(_comparison(THREE))[0]
    assert "parameters" in _rows(_comparison(THREE), columns=("parameters",))[0]


def test_rows_are_sorted_by_any_column():
    comparison = _comparison(THREE)
    assert [row["backend"] for row in _rows(comparison, sort="accuracy")] == ["b", "a", "c"]
    assert [row["backend"] for row in _rows(comparison, sort="-accuracy")] == ["c", "a", "b"]


def test_only_changed_leaves_out_ties():
    assert [row["backend"] for row in _rows(_comparison(THREE), only_changed=True)] == ["a", "b"]


def test_unknown_columns_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match="--columns.*did you mean 'accuracy'"):
        checked_options("acuracy", None, only_changed=False)
    with pytest.raises(UsageError, match="--sort.*unknown column"):
        checked_options(None, "-speed", only_changed=False)


def test_failed_runs_have_a_table():
    comparison = _comparison(
        {**THREE, "d": ([], [])}, {"d": [Failure(0, "out of memory"), Failure(1, "out of memory")]}
    )
    *_, failed = comparison_tables(comparison, TableOptions())
    assert failed.rows == ({"backend": "d", "seeds": "0, 1", "reason": "out of memory"},)
    assert [row["backend"] for row in _rows(comparison, sort="-accuracy")] == ["c", "a", "b"]


def test_json_holds_every_measurement(capsys):
    print_comparison(_comparison(THREE), "json", TableOptions())
    document = json.loads(capsys.readouterr().out)
    assert document["schema_version"] == 2
    assert [run["fit_seconds"] for run in document["variants"][1]["runs"]] == TWICE
    assert [(pair["variant"], pair["accuracy_is"], pair["time_is"]) for pair in document["pairs"]] == [
        ("b", "worse", "slower"), ("c", "tie", "tie"), ("c", "better", "faster"),
    ]  # fmt: skip


def test_csv_has_a_row_per_variant_and_the_rest_on_stderr(capsys):
    print_comparison(_comparison(THREE), "csv", TableOptions())
    captured = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(captured.out)))
    assert [(row["variant"], row["accuracy_is"], row["time_is"]) for row in rows] == [
        ("a", "", ""), ("b", "worse", "slower"), ("c", "tie", "tie"),
    ]  # fmt: skip
    assert "accuracy: a tie; c and a are the most accurate" in captured.err


def test_markdown_is_a_pipe_table(capsys):
    print_comparison(_comparison(THREE), "markdown", TableOptions())
    out = capsys.readouterr().out
    assert "| backend | seeds | accuracy | loss | difference vs a (pp) | verdict |" in out
    assert "- accuracy: a tie; c and a are the most accurate, the others are less accurate" in out


def test_a_table_fits_a_hundred_columns(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    comparison = _comparison({"sklearn" if label == "a" else label: runs for label, runs in THREE.items()})
    print_comparison(comparison, "table", TableOptions())
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("…" in line for line in lines) == 0
    assert sum(line.startswith("b  ") for line in lines) == 2  # one line per variant in each table


def test_contended_times_are_marked():
    comparison = _comparison(THREE, cost=MatrixCost(15, 15, 0, 0, 10.0, 18.0, 2.0, contended=True))
    assert "contended" in comparison_tables(comparison, TableOptions())[1].title
    assert "contended" in conclusions(comparison)[1]


def test_html_stands_alone(tmp_path):
    path = tmp_path / "new" / "report.html"
    comparison = _comparison({("<b>" if label == "a" else label): runs for label, runs in THREE.items()})
    report_comparison(comparison, CompareRequest(output_format="html", output=path), TableOptions())
    text = path.read_text()
    assert "<b>" not in text
    assert "&lt;b&gt;" in text
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in text
    assert "<script" not in text


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    path = tmp_path / "file" / "out.json"
    with pytest.raises(MlcliError, match="cannot be written"):
        report_comparison(_comparison(THREE), CompareRequest(output_format="json", output=path), TableOptions())


def test_plots_are_those_that_the_runs_have_data_for(tmp_path):
    from mlcli.compare.plots import save_comparison_plots

    paths = save_comparison_plots(_comparison(THREE), tmp_path)
    assert sorted(path.name for path in paths) == [
        "accuracy_against_time.png", "agreement.png", "differences.png", "learning_curves.png",
    ]  # fmt: skip
    assert all(path.stat().st_size > 5_000 for path in paths)
    alone = save_comparison_plots(_comparison({"a": THREE["a"]}), tmp_path / "alone")
    assert sorted(path.name for path in alone) == ["accuracy_against_time.png", "learning_curves.png"]


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


def test_a_receipt_without_differences_says_so(capsys):
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
