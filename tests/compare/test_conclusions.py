"""The closing sentences of comparisons with a known conclusion."""

from __future__ import annotations

import re

from mlcli.compare.conclusions import conclusions
from tests.fixtures.comparisons import STEADY, TWICE


def test_a_winner_is_named_with_the_difference_and_its_interval(comparison_of):
    text = " ".join(
        conclusions(comparison_of({"a": ([90, 95, 92, 93, 91], STEADY), "b": ([10, 12, 9, 11, 10], TWICE)}))
    )
    assert "accuracy: b is the most accurate, 8.18 [" in text
    assert "percentage points above a, the next" in text
    assert "fit time: a is the fastest, 2 [" in text
    assert "times as fast as b, the next" in text


def test_a_tie_is_called_one(comparison_of):
    text = conclusions(comparison_of({"a": ([10, 12, 9, 11, 10], STEADY), "b": ([11, 11, 10, 10, 10], STEADY)}))
    assert text == [
        "accuracy: a tie; a and b are within 1 percentage point of the highest mean",
        "fit time: a tie; a and b are within 5 % of each other",
    ]


def test_identical_answers_are_a_tie_for_a_reason(comparison_of):
    text = conclusions(comparison_of({"a": ([10, 12], STEADY[:2]), "b": ([10, 12], TWICE[:2])}))
    assert text[0] == "accuracy: a tie; a and b are right on the same test samples"


def test_an_inconclusive_comparison_tells_how_many_seeds_are_needed(comparison_of):
    text = conclusions(comparison_of({"a": ([10, 60, 30], [1, 2, 3]), "b": ([50, 10, 45], [3, 1, 2])}))
    assert "is not significantly different from" in text[0]
    assert re.search(r"(about|more than) \d+ more seeds needed \(\d+ in all\)", text[0])
    assert "is not significantly different from" in text[1]


def test_one_seed_is_not_enough(comparison_of):
    text = conclusions(comparison_of({"a": ([10], [1.0]), "b": ([60], [9.0])}))
    assert "one seed is not enough, run at least 2 more" in text[0]
    assert "McNemar test of these trained models alone: p = 1.8e-15" in text[0]


def test_times_of_different_sessions_get_no_verdict(comparison_of):
    variants = {"a": ([10, 12, 9], [1.0, 1.01, 1.0]), "b": ([10, 12, 9], [9.0, 9.1, 9.0])}
    comparison = comparison_of(variants, sessions={"a": "under load", "b": "later"})
    assert conclusions(comparison)[1].startswith("fit time: not comparable (measured in different sessions)")
    assert comparison.pairs[0].time is None
    assert comparison_of(variants).pairs[0].time_verdict.word == "higher"


def test_one_variant_has_nothing_to_compare_it_with(comparison_of):
    assert conclusions(comparison_of({"a": ([10, 11], [1.0, 1.0])})) == ["only one variant: nothing to compare it with"]
