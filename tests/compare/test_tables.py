"""The tables of comparisons with a known conclusion."""

from __future__ import annotations

from dataclasses import replace

from mlcli.compare.conclusions import conclusions
from mlcli.compare.records import Failure
from mlcli.compare.statistics import mean_interval
from mlcli.compare.tables import comparison_tables
from tests.fixtures.comparisons import THREE


def _rows(comparison):
    return comparison_tables(comparison)[0].rows


def test_the_verdict_is_in_the_row_of_the_variant(comparison_of):
    rows = _rows(comparison_of(THREE))
    assert [row["verdict"] for row in rows] == [None, "worse", "tie"]
    assert rows[1]["difference vs\na (pp)"].startswith("-7.18 [")
    assert rows[0]["accuracy"] == "0.9796 ± 0.0014"


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
