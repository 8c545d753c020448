"""Splits in time: the samples that are held out come after those that are trained on.

times: int64 (n,), the order of the samples in time, equal for equal times, which stay together.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import UsageError


def latest(times: NDArray[np.int64], n_picked: int) -> NDArray[np.bool_]:
    """Return whether each sample is among the latest, about n_picked of them; UsageError if all have one time."""
    return times >= _start(np.sort(times), len(times) - n_picked)


def time_window(times: NDArray[np.int64], n_folds: int, fold: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return whether each sample is before, and whether it is in, one of n_folds windows of about the same size.

    The windows follow one another up to the latest sample, and as many samples as one has precede them all, as in
    scikit-learn's TimeSeriesSplit. UsageError for too few different times.
    """
    ordered = np.sort(times)
    n_inside = len(times) // (n_folds + 1)
    starts = [_start(ordered, len(times) - (n_folds - number) * n_inside) for number in range(n_folds)]
    bounds = [*starts, int(ordered[-1]) + 1]
    if len(set(bounds)) <= n_folds:
        n_times = len(np.unique(times))
        raise UsageError(f"dataset.folds: {n_folds} windows of {n_times} different times; choose fewer folds")
    return times < bounds[fold], (times >= bounds[fold]) & (times < bounds[fold + 1])


def _start(ordered: NDArray[np.int64], n_before: int) -> int:
    """Return the one of some ordered times that n_before of them precede, or as near to that as equal times allow."""
    starts = np.flatnonzero(np.diff(ordered)) + 1
    if not len(starts):
        raise UsageError("dataset.time: all rows have the same time, and a split in time needs two")
    nearest = np.abs(starts - n_before)[::-1].argmin()  # the later of two
    return int(ordered[starts[::-1][nearest]])
