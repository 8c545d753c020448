from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import TimeSeriesSplit

from mlcli.data.time_splits import latest, time_window
from mlcli.errors import UsageError


@given(
    times=st.lists(st.integers(0, 9), min_size=2, max_size=40).filter(lambda times: len(set(times)) > 1),
    n_picked=st.integers(1, 39),
)
def test_everything_that_is_picked_is_later_than_the_rest(times, n_picked):
    times = np.array(times)
    is_picked = latest(times, n_picked)
    assert times[~is_picked].max() < times[is_picked].min()
    sizes = [int((times >= start).sum()) for start in sorted(set(times))[1:]]
    assert abs(is_picked.sum() - n_picked) == min(abs(size - n_picked) for size in sizes)


@pytest.mark.parametrize("n_folds", [2, 3, 7])
def test_windows_are_those_of_scikit_learn(n_folds):
    times = np.random.default_rng(0).permutation(101)
    by_time = np.argsort(times)
    for fold, (before, inside) in enumerate(TimeSeriesSplit(n_folds).split(by_time)):
        is_before, is_inside = time_window(times, n_folds, fold)
        assert np.flatnonzero(is_before).tolist() == sorted(by_time[before])
        assert np.flatnonzero(is_inside).tolist() == sorted(by_time[inside])


def test_equal_times_are_in_one_window():
    times = np.repeat(np.arange(12), 5)
    for fold in range(5):
        is_before, is_inside = time_window(times, 5, fold)
        assert times[is_before].max() + 1 == times[is_inside].min()
        assert is_inside.sum() == 10


def test_too_few_times_are_refused():
    with pytest.raises(UsageError, match="all rows have the same time"):
        latest(np.zeros(9, dtype=np.int64), 2)
    with pytest.raises(UsageError, match="4 windows of 3 different times; choose fewer folds"):
        time_window(np.repeat([0, 1, 2], 10), 4, 0)
