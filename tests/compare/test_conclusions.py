"""The closing sentences of comparisons with a known conclusion."""

from __future__ import annotations

import re

import pytest

from mlcli.compare.conclusions import accuracy_verdict_text, conclusions, time_verdict_text
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
    assert text[:2] == [
        "accuracy: a tie; a and b are within 1 percentage point of the highest mean",
        "fit time: a tie; a and b are within 5 % of each other",
    ]


def test_identical_answers_are_a_tie_for_a_reason(comparison_of):
    text = conclusions(comparison_of({"a": ([10, 12, 11], STEADY[:3]), "b": ([10, 12, 11], TWICE[:3])}))
    assert text[0] == "accuracy: a tie; a and b are right on the same test samples"


def test_an_inconclusive_comparison_tells_how_many_seeds_are_needed(comparison_of):
    text = conclusions(comparison_of({"a": ([10, 40, 30], [1, 2, 3]), "b": ([50, 30, 65], [3, 1, 2])}))
    assert "is not significantly different from" in text[0]
    assert re.search(r"about \d+ more seeds needed \(\d+ in all\)", text[0])
    assert "is not significantly different from" in text[1]


def test_one_seed_leads_with_the_two_trained_models(comparison_of):
    text = conclusions(comparison_of({"a": ([10], [1.0]), "b": ([60], [9.0])}))
    assert text[0] == (
        "accuracy: the trained model of a is more accurate than that of b (McNemar's test, p = 1.8e-15); "
        "seed variation unknown: run at least 2 more seeds"
    )
    assert "one seed is not enough, run at least 2 more" in text[1]


def test_one_seed_of_four_variants_corrects_for_all_pairs(comparison_of):
    """10 against 18 wrong samples: 8 to 0, p = 0.0078 for one pair and 0.047 for six."""
    runs = {"a": ([10], [1.0]), "b": ([60], [9.0]), "c": ([17], [9.0]), "d": ([18], [9.0])}
    text = conclusions(comparison_of(runs))[0]
    assert "the trained model of a is more accurate than those of d and b (McNemar's test, p <= 0.047)" in text
    assert "not significantly different from that of c (p = 0.094)" in text


@pytest.mark.parametrize("n_seeds", [1, 2])
def test_none_of_two_equal_accuracies_is_called_the_highest(comparison_of, n_seeds):
    text = conclusions(comparison_of({label: ([10, 12][:n_seeds], [1.0, 1.1][:n_seeds]) for label in "ab"}))[0]
    assert "highest" not in text
    assert {1: "not significantly different", 2: "a and b have the same mean; about 1 more seed needed"}[
        n_seeds
    ] in text


def test_a_difference_that_would_need_more_than_fifty_more_seeds_is_indistinguishable_in_practice(comparison_of):
    comparison = comparison_of({"a": ([10, 60, 30], [1, 2, 3]), "b": ([10, 30, 60], [3, 1, 2.1])})
    (pair,) = comparison.pairs
    assert pair.accuracy_verdict.n_needed > 53
    assert accuracy_verdict_text(pair) == "inconclusive (indistinguishable in practice)"
    assert conclusions(comparison)[0].endswith("; indistinguishable in practice")


def test_the_difference_that_the_seeds_would_have_found_is_stated_from_three_seeds_on(comparison_of):
    def power(n_seeds):
        runs = {"a": ([10, 60, 30][:n_seeds], [1, 2, 3][:n_seeds]), "b": ([50, 10, 45][:n_seeds], [3, 1, 2][:n_seeds])}
        comparison = comparison_of(runs)
        return comparison.pairs[0].accuracy_verdict.detectable_difference, conclusions(comparison)[2:]

    assert power(1) == power(2) == (None, [])
    difference, (sentence,) = power(3)
    assert f"these seeds find a true difference of {100 * difference:.2f} percentage points with 80 %" in sentence


def test_times_of_different_sessions_get_no_verdict(comparison_of):
    variants = {"a": ([10, 12, 9], [1.0, 1.01, 1.0]), "b": ([10, 12, 9], [9.0, 9.1, 9.0])}
    comparison = comparison_of(variants, sessions={"a": "111", "b": "222"})
    assert conclusions(comparison)[1].startswith("fit time: not comparable (measured in different sessions)")
    assert comparison.pairs[0].time is None
    assert comparison_of(variants).pairs[0].time_verdict.word == "higher"


def test_the_fastest_variant_is_the_fastest_in_the_rounds_measured_together(comparison_of):
    """The run of `a` with seed 3 was measured later, on an idle machine."""
    variants = {"a": ([10, 12, 9, 11], [2.0, 2.02, 2.0, 0.01]), "b": ([10, 12, 9, 11], [1.9, 1.9, 1.9, 1.9])}
    text = conclusions(comparison_of(variants, sessions={"a": "1112", "b": "1111"}))[1]
    assert text.startswith("fit time: b is the fastest, 1.06 [")
    assert text.endswith("a, the next (in 3 of 4 rounds; the other times were measured in different sessions)")


def test_seeds_that_are_needed_for_times_count_from_the_rounds_measured_together(comparison_of):
    """Of ten seeds, three have comparable times, and six would be enough."""
    variants = {"a": ([10] * 10, [1.0] * 10), "b": ([10] * 10, [1.02, 1.2, 1.15, *[9.0] * 7])}
    comparison = comparison_of(variants, sessions={"a": "1" * 10, "b": "1112222222"})
    (pair,) = comparison.pairs
    n_needed = pair.time_verdict.n_needed
    assert 3 < n_needed < 10
    needed = f"about {n_needed - 3} more seed{'s'[: n_needed > 4]} needed"
    assert time_verdict_text(pair) == f"inconclusive ({needed})"
    assert f"{needed} ({n_needed} in all)" in conclusions(comparison)[1]


def test_one_round_measured_together_is_not_called_too_much_variation(comparison_of):
    variants = {"a": ([10, 12, 9], [1.0, 1.01, 1.0]), "b": ([10, 12, 9], [9.0, 9.1, 9.0])}
    text = conclusions(comparison_of(variants, sessions={"a": "122", "b": "111"}))[1]
    assert "one seed is not enough, run at least 2 more" in text


def test_the_most_accurate_variant_is_the_most_accurate_with_the_common_seeds(comparison_of):
    """`a` has two more seeds, which are lucky."""
    variants = {"a": ([60, 61, 62, 63, 0, 0], [1.0] * 6), "b": ([50, 50, 50, 50], [1.0] * 4)}
    text = conclusions(comparison_of(variants))[0]
    assert text.startswith("accuracy: b ")


def test_one_variant_has_nothing_to_compare_it_with(comparison_of):
    assert conclusions(comparison_of({"a": ([10, 11], [1.0, 1.0])})) == ["only one variant: nothing to compare it with"]
