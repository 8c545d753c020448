"""Which samples figures are made of."""

from __future__ import annotations

import pytest

from mlcli.batch_bench.disturbance import disturbed_marks, fastest_reference, least_disturbed


def test_a_sample_is_disturbed_where_its_reference_took_a_tenth_longer_than_the_fastest():
    assert disturbed_marks([1.0, 1.09, 1.11, 2.0, 0.5], 1.0) == [False, False, True, True, False]


def test_samples_are_chosen_by_their_references_and_not_by_their_own_times():
    samples = [9.0, 1.0, 8.0, 2.0, 7.0, 3.0, 6.0, 4.0]
    references = [1.0, 2.0, 1.0, 2.0, 1.0, 1.0, 1.0, 1.0]
    assert least_disturbed(samples, references, 1.0) == [9.0, 8.0, 7.0, 3.0, 6.0, 4.0]


def test_where_too_few_are_undisturbed_those_with_the_shortest_references_count():
    samples, references = [float(n) for n in range(20)], [1.0] * 2 + [1.2] * 4 + [1.5] * 14
    assert least_disturbed(samples, references, 1.0) == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    assert least_disturbed([1.0, 2.0], [3.0, 4.0], 1.0) == [1.0, 2.0]


def test_one_reference_that_was_fast_by_luck_does_not_make_all_others_disturbed():
    assert fastest_reference([0.5, *[1.0] * 300, *[2.0] * 300]) == pytest.approx(1.0)


def test_a_machine_that_is_seldom_left_alone_is_still_known_at_its_best():
    assert fastest_reference([*[1.0] * 10, *[1.5] * 300]) == pytest.approx(1.0)
    assert fastest_reference([]) == 0.0
