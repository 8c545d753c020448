"""The tables of comparisons with a known conclusion."""

from __future__ import annotations

import pytest

from mlcli.compare.conclusions import conclusions
from mlcli.compare.records import Failure, MatrixCost
from mlcli.compare.tables import TableOptions, checked_options, comparison_tables
from mlcli.errors import UsageError

STEADY = [1.0, 1.01, 0.99, 1.0, 1.0]
TWICE = [2.0, 2.03, 1.98, 2.01, 2.0]
THREE = {
    "a": ([20, 22, 19, 21, 20], STEADY),
    "b": ([90, 95, 92, 93, 91], TWICE),
    "c": ([20, 21, 19, 21, 20], [1.0, 1.0, 1.0, 1.01, 1.0]),
}


def _rows(comparison, **options):
    return [dict(row) for row in comparison_tables(comparison, TableOptions(**options))[0].rows]


def test_the_verdict_is_in_the_row_of_the_variant(comparison_of):
    rows = _rows(comparison_of(THREE))
    assert [row["verdict"] for row in rows] == [None, "worse", "tie"]
    assert rows[1]["difference vs\na (pp)"].startswith("-7.18 [")
    assert rows[0]["accuracy"] == "0.9796 ± 0.0014"


def test_what_does_not_vary_is_no_column(comparison_of):
    assert "parameters" not in _rows(comparison_of(THREE))[0]
    assert "parameters" in _rows(comparison_of(THREE), columns=("parameters",))[0]


def test_rows_are_sorted_by_any_column(comparison_of):
    comparison = comparison_of(THREE)
    assert [row["backend"] for row in _rows(comparison, sort="accuracy")] == ["b", "a", "c"]
    assert [row["backend"] for row in _rows(comparison, sort="-accuracy")] == ["c", "a", "b"]


def test_only_changed_leaves_out_ties(comparison_of):
    assert [row["backend"] for row in _rows(comparison_of(THREE), only_changed=True)] == ["a", "b"]


def test_unknown_columns_are_refused_with_the_nearest():
    with pytest.raises(UsageError, match="--columns.*did you mean 'accuracy'"):
        checked_options("acuracy", None, only_changed=False)
    with pytest.raises(UsageError, match="--sort.*unknown column"):
        checked_options(None, "-speed", only_changed=False)


def test_failed_runs_have_a_table(comparison_of):
    comparison = comparison_of(
        {**THREE, "d": ([], [])}, {"d": [Failure(0, "out of memory"), Failure(1, "out of memory")]}
    )
    *_, failed = comparison_tables(comparison, TableOptions())
    assert failed.rows == ({"backend": "d", "seeds": "0, 1", "reason": "out of memory"},)
    assert [row["backend"] for row in _rows(comparison, sort="-accuracy")] == ["c", "a", "b"]


def test_contended_times_are_marked(comparison_of):
    comparison = comparison_of(THREE, cost=MatrixCost(15, 15, 0, 0, 10.0, 18.0, 2.0, contended=True))
    assert "contended" in comparison_tables(comparison, TableOptions())[1].title
    assert "contended" in conclusions(comparison)[1]
