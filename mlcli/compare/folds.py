"""The runs of two variants on the same folds, and the difference of their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from statistics import fmean

import numpy as np

from mlcli.compare.draws import Draw
from mlcli.compare.records import MeasuredRun
from mlcli.compare.statistics.folds import DifferingSamples, FoldsDifference, folds_difference
from mlcli.errors import UsageError

RunPair = tuple[MeasuredRun, MeasuredRun]  # of a variant and of its reference, on the same samples
_Fold = tuple[int | None, int | None]


def fold_of(draw: Draw) -> _Fold:
    """Return which test part a draw has: the division of the samples, and the fold in it."""
    return draw.split_seed, draw.fold


def fold_scores(runs: Sequence[MeasuredRun], name: str) -> list[float]:
    """Return a measurement that all runs have, for each fold, as a mean over its seeds. runs: sorted by draw."""
    folds = groupby(runs, key=lambda run: fold_of(run.draw))
    return [fmean(run.measurements[name] or 0.0 for run in found) for _, found in folds]


def pairs_by_fold(runs: Sequence[MeasuredRun], others: Sequence[MeasuredRun]) -> list[RunPair]:
    """Return every combination of two runs on the same fold, whatever their seeds are.

    UsageError if their samples differ.
    """
    pairs = [(run, other) for run in runs for other in others if fold_of(run.draw) == fold_of(other.draw)]
    for run, other in pairs:
        if run.test_digest != other.test_digest:
            raise UsageError(f"{run.run_id} and {other.run_id} were scored on other samples of {run.draw.split}")
    return pairs


def difference_over_folds(pairs: Sequence[RunPair]) -> FoldsDifference:
    """Return the difference in accuracy of runs that were paired by fold, with the same number of folds."""
    by_fold: dict[_Fold, list[float]] = {}
    for run, other in pairs:
        by_fold.setdefault(fold_of(run.draw), []).append(float(run.correct.mean() - other.correct.mean()))
    differences = [fmean(values) for values in by_fold.values()]
    return folds_difference(differences, _differing_samples(pairs), pairs[0][0].n_folds or 0, len(pairs))


def _differing_samples(pairs: Sequence[RunPair]) -> DifferingSamples:
    """Return how many samples differ in one repeat; the one with the most samples, if some folds are missing."""
    sizes = {fold_of(run.draw): len(run.correct) for run, _ in pairs}
    of_repeat: Counter[int | None] = Counter()
    for (split_seed, _), size in sizes.items():
        of_repeat[split_seed] += size
    n_samples = max(of_repeat.values())
    ratio = n_samples / sum(len(run.correct) for run, _ in pairs)
    n_higher = sum(int(np.count_nonzero(run.correct & ~other.correct)) for run, other in pairs)
    n_lower = sum(int(np.count_nonzero(~run.correct & other.correct)) for run, other in pairs)
    return DifferingSamples(n_samples, ratio * n_higher, ratio * n_lower)
