"""The runs of two variants on the same folds, and the difference of their scores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from statistics import fmean

import numpy as np

from mlcli.compare.draws import Draw
from mlcli.compare.judged_metric import class_counts, sample_values
from mlcli.compare.records import MeasuredRun, RunPair
from mlcli.compare.statistics.folds import DifferingSamples, FoldsDifference, folds_difference
from mlcli.compare.statistics.scores import n_bounding_samples, score_margin
from mlcli.errors import UsageError
from mlcli.registry import DEFAULT_METRIC, METRICS

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


def difference_over_folds(pairs: Sequence[RunPair], metric: str = DEFAULT_METRIC) -> FoldsDifference:
    """Return the difference in a metric of runs that were paired by fold, with the same number of folds.

    The metric can be judged; see judged_metric.
    """
    scores = [fold_scores([pair[side] for pair in sorted(pairs, key=_fold_of_pair)], metric) for side in (0, 1)]
    differences = [score - other for score, other in zip(*scores, strict=True)]
    margin = score_margin(metric, fmean(scores[1]))
    samples, n_folds = _differing_samples(pairs, metric), pairs[0][0].n_folds or 0
    return folds_difference(differences, samples, n_folds, len(pairs), margin=margin, limit=METRICS[metric].most)


def _fold_of_pair(pair: RunPair) -> _Fold:
    return fold_of(pair[0].draw)


def _differing_samples(pairs: Sequence[RunPair], metric: str) -> DifferingSamples:
    """Return how many samples differ in one repeat; the one with the most samples, if some folds are missing."""
    of_repeat: defaultdict[int | None, dict[_Fold, MeasuredRun]] = defaultdict(dict)
    for run, _ in pairs:
        of_repeat[run.draw.split_seed][fold_of(run.draw)] = run
    sizes = {split_seed: sum(len(run.correct) for run in found.values()) for split_seed, found in of_repeat.items()}
    largest = max(sizes, key=lambda split_seed: sizes[split_seed])
    n_samples = sizes[largest]
    if metric == DEFAULT_METRIC:
        ratio = n_samples / sum(len(run.correct) for run, _ in pairs)
        n_higher = sum(int(np.count_nonzero(run.correct & ~other.correct)) for run, other in pairs)
        n_lower = sum(int(np.count_nonzero(~run.correct & other.correct)) for run, other in pairs)
        samples = DifferingSamples.of_answers(n_samples, ratio * n_higher, ratio * n_lower)
    else:
        values = np.concatenate([sample_values(run) - sample_values(other) for run, other in pairs])
        n_bounding = n_bounding_samples(metric, class_counts(of_repeat[largest].values()))
        samples = DifferingSamples.of_values(n_samples, values, n_bounding)
    return replace(samples, are_dependent=any(run.has_dependent_samples for run, _ in pairs))
