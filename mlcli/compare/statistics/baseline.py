"""Whether new runs are less accurate than baseline runs.

The question is about two configurations: whether new runs with other seeds, scored on other test samples, would be less
accurate than baseline runs with other seeds. The baseline's luck with its seeds counts as much as that of the new runs:
with n new runs against one baseline run, the variance between runs enters 1/n + 1 times (the prediction interval of
Student's t; Hahn, Journal of the American Statistical Association 64, 1969). Runs are not paired by seed, because
different code may turn the same seed into other initial weights and another order of batches.

    variance of the difference = V_new / n_new + V_baseline / n_baseline + V_samples

V_new and V_baseline: variance of the accuracy between runs. V_samples: from the differences of each sample between the
two means over runs, less what the variation between runs adds to them (analysis of variance, see accuracy). With three
or more runs on both sides, each side has its own variance between runs; with fewer, both sides share one, estimated
from the runs of both: this assumes that accuracy varies equally between the runs of either side. The parts are combined
by Banerjee's interval (see error_parts).

One new run against one baseline run leaves only a question about these two trained models: McNemar's exact test of
accuracy; of other metrics, the variance between samples alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.statistics.accuracy import less_accurate_p, mean_squares
from mlcli.compare.statistics.error_parts import ErrorPart, two_sided_p_value
from mlcli.compare.statistics.scores import effective_number

_MIN_FOR_OWN_VARIANCE = 3  # runs


class _Runs(NamedTuple):
    """The variance of the accuracy between runs, and what is left of it if all runs are equally good."""

    n: float
    variance: float
    noise: float
    degrees_of_freedom: int


def worse_p(
    correct: NDArray[np.bool_] | NDArray[np.float64], baseline: NDArray[np.bool_] | NDArray[np.float64]
) -> float:
    """Return the one-sided p value of the hypothesis that new runs are not worse than the baseline.

    correct: (n_new, n_samples); baseline: (n_baseline, n_samples). bool: whether a run was right on a sample; float64:
    pseudo-values (see scores), of which higher ones are better. Columns are the same samples in both. With one row
    each, the hypothesis is about the two trained models, otherwise about their configurations.
    """
    if len(correct) == len(baseline) == 1 and correct.dtype == bool:
        return less_accurate_p(correct[0].astype(bool), baseline[0].astype(bool))
    difference = correct.mean(axis=0) - baseline.mean(axis=0)
    new, old = _runs(correct), _runs(baseline)
    sides = _sides(new, old)
    noise = sum(side.noise / side.n for side in sides)
    excess = float(np.var(difference, ddof=1)) / len(difference) - noise
    parts = [ErrorPart(max(excess, 0.0), max(_n_differing(difference, is_float=correct.dtype != bool) - 1, 1))]
    parts += [ErrorPart(max(side.variance, side.noise) / side.n, side.degrees_of_freedom) for side in sides]
    p_value = two_sided_p_value(float(difference.mean()), parts) / 2
    return p_value if difference.mean() < 0 else 1 - p_value


def _sides(new: _Runs, old: _Runs) -> list[_Runs]:
    """Return the variances between runs by side, or one for both; none for two single runs."""
    if min(new.n, old.n) >= _MIN_FOR_OWN_VARIANCE:
        return [new, old]
    return [_pooled(new, old)] if max(new.n, old.n) > 1 else []


def _n_differing(difference: NDArray[np.float64], *, is_float: bool) -> int:
    return effective_number(difference - difference.mean()) if is_float else int(np.count_nonzero(difference))


def _runs(correct: NDArray[np.bool_] | NDArray[np.float64]) -> _Runs:
    n, n_samples = correct.shape
    if n == 1:
        return _Runs(1, 0.0, 0.0, 0)
    of_runs, _, rest = mean_squares(correct.astype(np.int8) if correct.dtype == bool else correct.astype(np.float64))
    return _Runs(n, of_runs / n_samples, rest / n_samples, n - 1)


def _pooled(new: _Runs, old: _Runs) -> _Runs:
    """Return the variances that both sides share, and the number of runs whose mean varies as the difference does."""
    degrees = new.degrees_of_freedom + old.degrees_of_freedom
    variance, noise = (
        (new.degrees_of_freedom * of_new + old.degrees_of_freedom * of_old) / degrees
        for of_new, of_old in ((new.variance, old.variance), (new.noise, old.noise))
    )
    return _Runs(1 / (1 / new.n + 1 / old.n), variance, noise, degrees)
