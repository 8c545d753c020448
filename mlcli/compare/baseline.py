"""`--fail-if-worse`: whether variants are significantly worse than one or several baseline runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.draws import Draw, draw_of
from mlcli.compare.folds import difference_over_folds, pairs_by_fold
from mlcli.compare.judged_metric import sample_values, unjudged_reason
from mlcli.compare.records import MeasuredRun, Variant
from mlcli.compare.statistics import ALPHA, MIN_FOR_INTERVAL
from mlcli.compare.statistics.baseline import worse_p
from mlcli.compare.statistics.verdicts import holm
from mlcli.compare.variants import find_results, variants_of
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import UsageError
from mlcli.registry import DEFAULT_METRIC, METRICS

_OPTION = "--fail-if-worse"


class Shortfall(NamedTuple):
    """A variant that is significantly worse than the baseline. The scores are means over runs."""

    variant: str
    score: float
    baseline_score: float
    corrected_p: float
    text: str


def open_baseline(
    references: Sequence[str], runs_directory: Path, metric: str = DEFAULT_METRIC
) -> tuple[MeasuredRun, ...]:
    """Return the runs of --fail-if-worse, which differ in the seed alone; none without references.

    metric: by which they are judged.

    UsageError for a run that does not exist or has not finished, and for runs of several configurations or with the
    same seed; DataError for one with altered files.
    """
    if not references:
        return ()
    results = find_results(references, runs_directory, metric)
    for reason in (result.reason for result in results if result.run is None):
        raise UsageError(f"{_OPTION}: a baseline run is {reason}")
    variants, notes = variants_of(results)
    if len(variants) > 1:
        labels = "; ".join(variant.label for variant in variants)
        raise UsageError(f"{_OPTION}: the baseline runs differ in more than the seed: {labels}")
    if notes:
        raise UsageError(f"{_OPTION}: several baseline runs have the same seed; name one of them")
    return variants[0].runs


def check_runs(baseline: Sequence[MeasuredRun], planned: Sequence[ExperimentConfig]) -> None:
    """UsageError for planned runs with which the baseline cannot be compared.

    That is, one seed against one run, which cannot tell whether the configuration is worse; and fewer than three common
    folds.
    """
    draws = {draw_of(config) for config in planned}
    n_folds = planned[0].dataset.folds
    if baseline and (n_folds is not None or baseline[0].n_folds is not None):
        _check_folds(baseline if n_folds == baseline[0].n_folds else (), draws)
    elif len(baseline) == len(draws) == 1:
        raise UsageError(
            f"{_OPTION}: one seed against one run cannot tell a worse configuration from an unlucky seed\n"
            f"use --seeds 3, or repeat {_OPTION} with more baseline runs\n"
            f"to compare two trained models alone: mlcli compare RUN {_OPTION} RUN"
        )


def _check_folds(baseline: Sequence[MeasuredRun], draws: Iterable[Draw]) -> None:
    common = {run.draw[:2] for run in baseline} & {draw[:2] for draw in draws}
    if len(common) < MIN_FOR_INTERVAL:
        raise UsageError(
            f"{_OPTION}: folds are compared with runs on the same folds, and {len(common)} are common\n"
            f"name the runs of a comparison with the same --folds, three folds or more: {_OPTION} 'GLOB'"
        )


def shortfalls(
    ran: Sequence[Variant], baseline: Sequence[MeasuredRun], metric: str = DEFAULT_METRIC
) -> list[Shortfall]:
    """Return the variants that are significantly worse than the baseline in a metric, corrected for their number.

    UsageError if one was scored on other samples, or if the metric cannot be judged.
    """
    runs = [run for variant in ran for run in variant.runs]
    if reason := unjudged_reason(metric, [*baseline, *runs]):
        raise UsageError(f"{_OPTION}: {METRICS[metric].title} is not judged: {reason}")
    corrected = holm([_worse_p(variant, baseline, metric) for variant in ran])
    return [_shortfall(variant, baseline, p, metric) for variant, p in zip(ran, corrected, strict=True) if p < ALPHA]


def _worse_p(variant: Variant, baseline: Sequence[MeasuredRun], metric: str) -> float:
    """Return the one-sided p value of a variant; with folds, of the folds that both have, whatever their seeds are."""
    if variant.n_splits > 1 or len({run.draw[:2] for run in baseline}) > 1:
        _check_folds(baseline, variant.draws)
        found = difference_over_folds(pairs_by_fold(variant.runs, baseline), metric)
        one_sided = (found.p_value or 1.0) / 2
        return one_sided if found.mean * METRICS[metric].sign < 0 else 1 - one_sided
    if any(run.test_digest != baseline[0].test_digest for run in variant.runs):
        raise UsageError(f"{_OPTION} {baseline[0].run_id}: {variant.label} was trained or scored on other samples")
    return worse_p(_values(variant.runs, metric), _values(baseline, metric))


def _values(runs: Sequence[MeasuredRun], metric: str) -> NDArray[np.bool_] | NDArray[np.float64]:
    """Return whether runs were right on each sample, or pseudo-values of which higher ones are better."""
    if metric == DEFAULT_METRIC:
        return np.stack([run.correct for run in runs])
    return np.stack([sample_values(run) for run in runs]) * METRICS[metric].sign


def _shortfall(variant: Variant, baseline: Sequence[MeasuredRun], p: float, metric: str) -> Shortfall:
    score, other = (fmean(run.measurements[metric] or 0.0 for run in runs) for runs in (variant.runs, baseline))
    n_new, n_old = len(variant.runs), len(baseline)
    if variant.n_splits > 1:
        about = f"about the two configurations, over {variant.n_splits} test parts"
    elif n_new == n_old == 1:
        test = "McNemar's test of" if metric == DEFAULT_METRIC else "about"
        about = f"{test} these two trained models; runs with other seeds may differ"
    else:
        about = "about the two configurations, over seeds and test samples"
        about += "; assumes that both vary equally between seeds" if min(n_new, n_old) < MIN_FOR_INTERVAL else ""
    of_baseline = baseline[0].run_id if n_old == 1 else f"{n_old} baseline runs"
    worse = "is less accurate" if metric == DEFAULT_METRIC else f"has a worse {METRICS[metric].title}"
    text = (
        f"{variant.label} {worse} than {of_baseline}: {score:.4f} ({_n_runs(n_new)}) against "
        f"{other:.4f} ({_n_runs(n_old)}), p = {p:.2g} ({about})"
    )
    return Shortfall(variant.label, score, other, p, text)


def _n_runs(n: int) -> str:
    return f"{n} run{'s'[: n > 1]}"
