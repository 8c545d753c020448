"""The metric by which variants are judged: differences of runs, and what is to be said about it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlcli.compare.records import MeasuredRun, Variant
from mlcli.compare.statistics.scores import MIN_CLASS_SAMPLES, ScoreDifference, score_difference
from mlcli.registry import DEFAULT_METRIC, IMBALANCED, METRICS


def metric_difference(metric: str, pairs: Sequence[tuple[MeasuredRun, MeasuredRun]]) -> ScoreDifference | None:
    """Return the difference of pairs of runs on the same test samples in a metric other than accuracy.

    None if it cannot be judged; see `unjudged_reason`.
    """
    if unjudged_reason(metric, [run for pair in pairs for run in pair]):
        return None
    found = [[pair[side].samples for pair in pairs] for side in (0, 1)]
    values, others = (np.stack([samples.values for samples in side if samples]) for side in found)
    assert found[0][0] is not None
    return score_difference(metric, values, others, found[0][0].class_counts)


def unjudged_reason(metric: str, runs: Sequence[MeasuredRun]) -> str | None:
    """Return why runs cannot be judged by a metric; None if they can."""
    if metric == DEFAULT_METRIC:
        return None
    if len({run.draw[:2] for run in runs}) > 1:
        return "over folds, variants are judged by accuracy alone"
    for run in runs:
        if run.samples is None:
            undefined = run.facts.record.metrics["test"].undefined
            return f"run {run.run_id} has none, because {undefined.get(metric, 'it was not computed')}"
        fewest = int(run.samples.class_counts.min())
        if METRICS[metric].weighs_classes_equally and fewest < MIN_CLASS_SAMPLES:
            return (
                f"a class has {fewest} test sample{'s'[: fewest > 1]}, and {MIN_CLASS_SAMPLES} are needed, because "
                "every class has the same weight"
            )
    return None


def metric_notes(ran: Sequence[Variant], metric: str) -> list[str]:
    """Return why the metric is not judged, if so; with imbalance, what always predicting the largest class scores."""
    notes = []
    runs = [run for variant in ran for run in variant.runs]
    reason = unjudged_reason(metric, runs) if len(ran) > 1 else None
    if reason:
        notes.append(f"{METRICS[metric].title} is not judged: {reason}")
    guesses = {run.facts.record.metrics["test"].largest_class_accuracy for run in runs}
    if len(guesses) == 1 and (guess := guesses.pop()) is not None and guess >= IMBALANCED:
        notes.append(f"always predicting the largest class has a test accuracy of {guess:.4f}")
    return notes
