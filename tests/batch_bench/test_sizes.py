"""Ladders of batch sizes."""

from __future__ import annotations

import pytest

from mlcli.batch_bench.sizes import DEFAULT_SIZES, fitting_sizes, is_worth_doubling, parse_sizes
from mlcli.errors import UsageError


def test_sizes_are_read_once_each_in_ascending_order():
    assert parse_sizes("100,1, 10,10") == (1, 10, 100)
    assert parse_sizes("auto") is None


@pytest.mark.parametrize("text", ["", "0,1", "-5", "1,x", "1.5", "1,,2"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="--sizes"):
        parse_sizes(text)


def test_sizes_beyond_the_data_are_refused_tiled_or_left_out_of_the_default_ladder():
    with pytest.raises(UsageError, match=r"batch of 200 .* 150 samples(.|\n)*--tile"):
        fitting_sizes((100, 200, 300), 150, tile=False, is_default=False)
    assert fitting_sizes((100, 200), 150, tile=True, is_default=False) == (100, 200)
    assert fitting_sizes(DEFAULT_SIZES, 1437, tile=False, is_default=True) == (1, 10, 100, 300, 600, 1000)
    assert fitting_sizes((150,), 150, tile=False, is_default=False) == (150,)


@pytest.mark.parametrize(
    ("throughputs", "goes_on"),
    [
        ([1.0], True),
        ([1.0, 1.0, 1.0], True),
        ([1.0, 2.0, 4.0, 8.0], True),
        ([10.0, 10.1, 10.2, 10.3], False),
        ([10.0, 9.0, 9.0, 10.6], True),  # a dip may be noise: the best of the last three counts
        ([10.0, 9.0, 10.6, 9.9], True),
        ([10.0, 8.0, 7.0, 6.0], False),
    ],
)
def test_doubling_stops_when_three_steps_bring_less_than_five_percent(throughputs, goes_on):
    assert is_worth_doubling(throughputs) is goes_on
