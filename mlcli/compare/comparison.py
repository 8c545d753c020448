"""Compare variants: check their data, judge every two of them, and report what was controlled."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np

from mlcli.compare import CompareRequest
from mlcli.compare.baseline import shortfalls
from mlcli.compare.folds import difference_over_folds, fold_scores
from mlcli.compare.judged_metric import class_counts, metric_notes, sample_values, unjudged_reason
from mlcli.compare.receipt import report_by_variant
from mlcli.compare.records import (
    MEASUREMENTS,
    Comparison,
    MatrixCost,
    MeasuredRun,
    Pair,
    Receipt,
    RunPair,
    RunResult,
    Variant,
)
from mlcli.compare.statistics.accuracy import AccuracyDifference, accuracy_difference, mcnemar_p
from mlcli.compare.statistics.folds import FoldsDifference, variance_factor
from mlcli.compare.statistics.intervals import MeanInterval, mean_interval
from mlcli.compare.statistics.scores import ScoreDifference, score_difference
from mlcli.compare.statistics.times import TimeRatio, time_ratio
from mlcli.compare.statistics.verdicts import accuracy_verdicts, score_verdicts, time_verdicts
from mlcli.compare.variants import check_same_data, variants_of
from mlcli.errors import PartialFailureError, ThresholdError, UsageError, WorseError, unknown_name
from mlcli.experiment.thresholds import missed_thresholds
from mlcli.registry import DEFAULT_METRIC, METRICS


def compare_results(
    results: Sequence[RunResult],
    *,
    reference: str | None = None,
    allow_different_data: bool = False,
    cost: MatrixCost | None = None,
    metric: str = DEFAULT_METRIC,
) -> Comparison:
    """Compare every two variants that have finished runs; the others keep the reasons of their failures and come last.

    reference: the label, or the start of one, of the variant that the others are compared with; None: the first.
    metric: by which variants are judged, and for which the runs were measured.
    UsageError if data or splits differ, unless that is allowed.
    """
    if not allow_different_data:
        check_same_data(result.run for result in results if result.run)
    variants, notes = variants_of(results)
    chosen = _named(variants, reference) if reference else None
    variants.sort(key=lambda variant: (not variant.runs, variant is not chosen))
    ran = [variant for variant in variants if variant.runs]
    first = results[0].config
    return Comparison(
        name=first.name or first.dataset.label,
        dataset=", ".join(dict.fromkeys(result.config.dataset.label for result in results)),
        variants=tuple(variants),
        means={variant.label: mean_measurements(variant) for variant in variants},
        reference=ran[0].label if ran else None,
        pairs=compare_pairs(ran, metric),
        notes=tuple(notes + _notes(ran) + metric_notes(ran, metric)),
        receipt=_receipt(ran) if len(ran) > 1 else None,
        cost=cost,
        metric=metric,
    )


def _named(variants: Sequence[Variant], reference: str) -> Variant:
    labels = [variant.label for variant in variants if variant.runs]
    matches = [variant for variant in variants if variant.runs and variant.label.startswith(reference)]
    exact = [variant for variant in matches if variant.label == reference]
    if len(exact or matches) != 1:
        problem = f"{reference!r} matches several variants: {', '.join(variant.label for variant in matches)}"
        raise UsageError(f"--reference: {problem if matches else unknown_name('variant', reference, labels)}")
    return (exact or matches)[0]


def _notes(ran: Sequence[Variant]) -> list[str]:
    """Return each note of the runs once, with the number of runs that have it; notes may differ in numbers."""
    texts: dict[str, list[str]] = {}
    for note in (note for variant in ran for run in variant.runs for note in run.facts.record.notes):
        texts.setdefault(re.sub(r"[\d.]+", "#", note), []).append(note)
    notes = [f"{found[0]} ({len(found)} runs)" if len(found) > 1 else found[0] for found in texts.values()]
    if any(variant.draws != ran[0].draws for variant in ran):
        what = "folds or seeds" if any(variant.n_splits > 1 for variant in ran) else "seeds"
        notes.append(f"the variants have different {what}: only the {what} that two variants share are compared")
    if any(variant.n_splits > 1 and len({run.draw.seed for run in variant.runs}) == 1 for variant in ran):
        notes.append("all folds were trained with one seed: the verdicts are about this seed, which may be a lucky one")
    if any(variant.n_splits == 1 and run.has_dependent_samples for variant in ran for run in variant.runs):
        what = (
            "test samples of a group or a time series are not independent, and verdicts on one split treat them as such"
        )
        notes.append(f"{what}: differences may be chance; compare over folds")
    return notes


def mean_measurements(variant: Variant) -> dict[str, MeanInterval | None]:
    """Return the mean of each measurement over the runs; None if a run lacks it, and without runs.

    The interval of a score over folds takes into account that their training sets overlap.
    """
    means: dict[str, MeanInterval | None] = {}
    for name in MEASUREMENTS:
        values = [value for run in variant.runs if (value := run.measurements.get(name)) is not None]
        highest = METRICS[name].most if name in METRICS else math.inf
        if not values or len(values) < len(variant.runs):
            means[name] = None
        elif variant.n_splits > 1 and name in METRICS:
            scores = fold_scores(variant.runs, name)
            factor = variance_factor(len(scores), variant.runs[0].n_folds or 0)
            means[name] = replace(mean_interval(scores, highest, factor), n_runs=len(values))
        else:
            means[name] = mean_interval(values, highest)
    return means


def compare_pairs(variants: Sequence[Variant], metric: str = DEFAULT_METRIC) -> tuple[Pair, ...]:
    """Compare every two variants, which have runs; the earlier one is the reference.

    The verdicts are corrected for the number of pairs.
    """
    pairs = [_pair(later, earlier, metric) for earlier, later in combinations(variants, 2)]
    of_accuracy = iter(accuracy_verdicts([pair.accuracy for pair in pairs if pair.accuracy]))
    of_score = iter(score_verdicts([pair.score for pair in pairs if pair.score]))
    of_time = iter(time_verdicts([pair.time for pair in pairs if pair.time]))
    return tuple(
        replace(
            pair,
            accuracy_verdict=next(of_accuracy) if pair.accuracy else None,
            time_verdict=next(of_time) if pair.time else None,
            score_verdict=next(of_score) if pair.score else None,
        )
        for pair in pairs
    )


def _pair(variant: Variant, reference: Variant, metric: str) -> Pair:
    """Return the measured differences of two variants, without verdicts."""
    others = {run.draw: run for run in reference.runs}
    runs = [(run, others[run.draw]) for run in variant.runs if run.draw in others]
    accuracy, p_value = _accuracy(runs)
    comparable = [(run, other) for run, other in runs if run.is_measured_with(other)]
    draws = [run.draw for run, _ in runs]
    has_folds = len({draw[:2] for draw in draws}) > 1
    return Pair(
        variant.label,
        reference.label,
        tuple(dict.fromkeys(draw.seed for draw in draws)),
        accuracy,
        None,
        _time(comparable),
        None,
        bool(comparable),
        p_value,
        n_runs=len(runs),
        n_folds=runs[0][0].n_folds if has_folds else None,
        n_repeats=len({draw.split_seed for draw in draws}) if has_folds else None,
        score=accuracy if metric == DEFAULT_METRIC or accuracy is None else _score(metric, runs, has_folds=has_folds),
    )


def _score(metric: str, runs: Sequence[RunPair], *, has_folds: bool) -> FoldsDifference | ScoreDifference | None:
    """Return the difference in a metric other than accuracy; None if it cannot be judged."""
    if unjudged_reason(metric, [run for pair in runs for run in pair]):
        return None
    if has_folds:
        return difference_over_folds(runs, metric)
    values, others = (np.stack([sample_values(pair[side]) for pair in runs]) for side in (0, 1))
    return score_difference(metric, values, others, class_counts([runs[0][0]]))


def _accuracy(runs: Sequence[RunPair]) -> tuple[AccuracyDifference | FoldsDifference | None, float | None]:
    """Return the difference in accuracy, and for one run each the p value of McNemar's test.

    None without runs, and if the two runs of a pair were not scored on the same samples.
    """
    if not runs or any(run.test_digest != other.test_digest for run, other in runs):
        return None, None
    if len({run.draw[:2] for run, _ in runs}) > 1:
        return difference_over_folds(runs), None
    if len({run.test_digest for run, _ in runs}) > 1:
        return None, None
    first, second = (np.stack([pair[side].correct for pair in runs]) for side in (0, 1))
    return accuracy_difference(first, second), mcnemar_p(first[0], second[0]) if len(runs) == 1 else None


def _time(runs: Sequence[RunPair]) -> TimeRatio | None:
    """Compare the fit times of two variants, one pair of runs for each draw; a run too fast for the clock has none."""
    times = [
        (seconds, other_seconds)
        for run, other in runs
        if (seconds := run.measurements["fit_seconds"]) and (other_seconds := other.measurements["fit_seconds"])
    ]
    return time_ratio([seconds for seconds, _ in times], [seconds for _, seconds in times]) if times else None


def _receipt(ran: Sequence[Variant]) -> Receipt:
    """Return a comparability report with a column per variant, over the draws that all variants share, if any."""
    common = set.intersection(*(set(variant.draws) for variant in ran))
    return report_by_variant(
        {variant.label: [run.facts for run in variant.runs if not common or run.draw in common] for variant in ran}
    )


def check_thresholds(comparison: Comparison, request: CompareRequest, baseline: Sequence[MeasuredRun]) -> None:
    """ThresholdError for a variant below a threshold, WorseError for one that is worse than the baseline runs.

    ThresholdError if both are the case; PartialFailureError for unfinished runs.
    """
    missed = []
    for variant in comparison.ran:
        means = {name: found.mean for name, found in comparison.means[variant.label].items() if found}
        of_runs = (run.facts.record.metrics["test"].undefined for run in variant.runs)
        undefined = {name: reason for reasons in of_runs for name, reason in reasons.items()}
        missed += missed_thresholds(request.thresholds, means, undefined, variant.label)
    found = shortfalls(comparison.ran, baseline, comparison.metric) if baseline else []
    worse = [f"--fail-if-worse: {shortfall.text}" for shortfall in found]
    if missed:
        raise ThresholdError("\n".join(missed + worse))
    if worse:
        raise WorseError("\n".join(worse))
    n_failed = sum(len(variant.failures) for variant in comparison.variants)
    if n_failed:
        n_runs = n_failed + sum(len(variant.runs) for variant in comparison.variants)
        raise PartialFailureError(f"{n_failed} of {n_runs} runs did not finish; the table shows the reasons")
