"""The tables of comparisons with a known conclusion."""

from __future__ import annotations

from dataclasses import replace

from mlcli.compare.conclusions import conclusions
from mlcli.compare.records import Failure
from mlcli.compare.statistics.intervals import mean_interval
from mlcli.compare.tables import comparison_tables
from tests.fixtures.comparisons import THREE


def _rows(comparison):
    return comparison_tables(comparison)[0].rows


def test_the_verdict_is_in_the_row_of_the_variant(comparison_of):
    rows = _rows(comparison_of(THREE))
    assert [row["verdict"] for row in rows] == [None, "worse", "tie"]
    assert rows[1]["difference vs\na (pp)"].startswith("-7.18 [")
    assert rows[0]["accuracy\n(± half of\n95 % interval)"] == "0.9796 ± 0.0014"


def test_two_runs_show_no_interval(comparison_of):
    rows = _rows(comparison_of({label: (wrong[:2], seconds[:2]) for label, (wrong, seconds) in THREE.items()}))
    assert [row["accuracy"] for row in rows] == ["0.9790", "0.9075", "0.9795"]
    assert [row["difference vs\na (pp)"] for row in rows] == ["reference", "-7.15", "+0.05"]
    assert not any("±" in text or "[" in text for row in rows for text in (*row, *filter(None, row.values())))


def test_an_interval_that_the_possible_range_cuts_off_shows_its_ends(comparison_of):
    """0, 1 and 20 of 1,000 samples wrong: half of the interval would be 0.028, and its upper end above 1."""
    (row,) = _rows(comparison_of({"a": ([0, 1, 20], THREE["a"][1][:3])}))
    assert row["accuracy\n(± half of\n95 % interval)"] == "0.9930 [0.9650, 1.0000]"


def test_settings_that_do_not_vary_have_no_column(comparison_of):
    comparison = comparison_of(THREE)
    assert "parameters" not in _rows(comparison)[0]
    larger = {**comparison.means["b"], "n_parameters": mean_interval([20.0])}
    comparison = replace(comparison, means={**comparison.means, "b": larger})
    assert [row["parameters"] for row in _rows(comparison)] == ["10", "20", "10"]


def test_a_variant_alone_is_not_compared_with_itself(comparison_of):
    for table in comparison_tables(comparison_of({"a": THREE["a"]})):
        assert not any(
            "relative" in header or "verdict" in header or "difference" in header for header in table.rows[0]
        )


def test_failed_runs_have_a_table(comparison_of):
    comparison = comparison_of(
        {**THREE, "d": ([], [])}, {"d": [Failure(0, "out of memory"), Failure(1, "out of memory")]}
    )
    *_, failed = comparison_tables(comparison)
    assert failed.rows == [{"backend": "d", "seeds": "0, 1", "reason": "out of memory"}]
    assert [row["backend"] for row in _rows(comparison)] == ["a", "b", "c"]


def test_contended_times_are_marked(comparison_of):
    comparison = comparison_of(THREE, n_parallel=4)
    assert "contended" in comparison_tables(comparison)[1].title
    assert "contended" in conclusions(comparison)[1]
