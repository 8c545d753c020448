"""The metric by which variants are judged: differences of runs, and what is to be said about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.records import MeasuredRun, Variant
from mlcli.compare.statistics import MIN_CLASS_SAMPLES
from mlcli.registry import DEFAULT_METRIC, IMBALANCED, METRICS


def sample_values(run: MeasuredRun) -> NDArray[np.float64]:
    """Return the pseudo-values of a run that can be judged by a metric other than accuracy, float64 (n_test,)."""
    assert run.samples is not None
    return run.samples.values


def class_counts(runs: Iterable[MeasuredRun]) -> NDArray[np.int64]:
    """Return how many test samples runs on different folds have of each class that has any."""
    classes = [run.samples.y for run in runs if run.samples]
    counts: NDArray[np.int64] = np.unique(np.concatenate(classes), return_counts=True)[1]
    return counts


def unjudged_reason(metric: str, runs: Sequence[MeasuredRun]) -> str | None:
    """Return why runs cannot be judged by a metric; None if they can."""
    if metric == DEFAULT_METRIC or not runs:
        return None
    for run in runs:
        if run.samples is None:
            test = run.facts.record.metrics["test"]
            computed = "it is too large" if getattr(test, metric) is not None else "it was not computed"
            return f"run {run.run_id} has none, because {test.undefined.get(metric, computed)}"
    fewest = min(int(class_counts(found.values()).min()) for found in _tested_samples(runs))
    if METRICS[metric].weighs_classes_equally and fewest < MIN_CLASS_SAMPLES:
        return (
            f"a class has {fewest} test sample{'s'[: fewest > 1]}, and {MIN_CLASS_SAMPLES} are needed, because "
            "every class has the same weight"
        )
    return None


def _tested_samples(runs: Iterable[MeasuredRun]) -> list[dict[object, MeasuredRun]]:
    """Return, for each division of the samples, a run on each of its test parts."""
    found: defaultdict[object, dict[object, MeasuredRun]] = defaultdict(dict)
    for run in runs:
        found[run.draw.split_seed][run.test_digest] = run
    return list(found.values())


def metric_notes(ran: Sequence[Variant], metric: str) -> list[str]:
    """Return why the metric is not judged, if so; with imbalance, what always predicting the largest class scores."""
    notes = []
    runs = [run for variant in ran for run in variant.runs]
    reason = unjudged_reason(metric, runs) if len(ran) > 1 else None
    if reason:
        notes.append(f"{METRICS[metric].title} is not judged: {reason}")
    guess = _largest_class_accuracy(runs)
    if guess is not None and guess >= IMBALANCED:
        notes.append(f"always predicting the largest class has a test accuracy of {guess:.4f}")
    return notes


def _largest_class_accuracy(runs: Iterable[MeasuredRun]) -> float | None:
    """Return the test accuracy of always predicting the largest class, over folds as a mean; None if splits differ."""
    by_test = {run.test_digest: run for run in runs}
    guesses = [run.facts.record.metrics["test"].largest_class_accuracy for run in by_test.values()]
    known = [guess for guess in guesses if guess is not None]
    n_folds = {run.n_folds for run in by_test.values()}
    if not known or len(known) < len(guesses) or (len(guesses) > 1 and (None in n_folds or len(n_folds) > 1)):
        return None
    return fmean(known)
