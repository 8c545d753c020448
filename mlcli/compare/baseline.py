"""`--fail-if-worse`: whether variants are significantly worse than one or several baseline runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mlcli.compare.judged_metric import unjudged_reason
from mlcli.compare.records import MeasuredRun, Variant
from mlcli.compare.statistics import ALPHA, MIN_FOR_INTERVAL
from mlcli.compare.statistics.baseline import worse_p
from mlcli.compare.statistics.verdicts import holm
from mlcli.compare.variants import find_results, variants_of
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


def check_number_of_runs(baseline: Sequence[MeasuredRun], seeds: Sequence[int]) -> None:
    """UsageError for one seed against one run: whether the configuration is worse cannot be found out from these."""
    if len(baseline) == len(set(seeds)) == 1:
        raise UsageError(
            f"{_OPTION}: one seed against one run cannot tell a worse configuration from an unlucky seed\n"
            f"use --seeds 3, or repeat {_OPTION} with more baseline runs\n"
            f"to compare two trained models alone: mlcli compare RUN {_OPTION} RUN"
        )


def shortfalls(
    ran: Sequence[Variant], baseline: Sequence[MeasuredRun], metric: str = DEFAULT_METRIC
) -> list[Shortfall]:
    """Return the variants that are significantly worse than the baseline in a metric, corrected for their number.

    UsageError if one was scored on other samples, or if the metric cannot be judged.
    """
    for variant in ran:
        if any(run.test_digest != baseline[0].test_digest for run in variant.runs):
            raise UsageError(f"{_OPTION} {baseline[0].run_id}: {variant.label} was scored on other test samples")
    runs = [run for variant in ran for run in variant.runs]
    if reason := unjudged_reason(metric, [*baseline, *runs]):
        raise UsageError(f"{_OPTION}: {METRICS[metric].title} is not judged: {reason}")
    expected = _values(baseline, metric)
    corrected = holm([worse_p(_values(variant.runs, metric), expected) for variant in ran])
    return [_shortfall(variant, baseline, p, metric) for variant, p in zip(ran, corrected, strict=True) if p < ALPHA]


def _values(runs: Sequence[MeasuredRun], metric: str) -> NDArray[np.bool_] | NDArray[np.float64]:
    """Return whether runs were right on each sample, or pseudo-values of which higher ones are better."""
    if metric == DEFAULT_METRIC:
        return np.stack([run.correct for run in runs])
    return np.stack([run.samples.values for run in runs if run.samples]) * METRICS[metric].sign


def _shortfall(variant: Variant, baseline: Sequence[MeasuredRun], p: float, metric: str) -> Shortfall:
    sign = METRICS[metric].sign
    accuracy, other = (sign * float(_values(runs, metric).mean()) for runs in (variant.runs, baseline))
    n_new, n_old = len(variant.runs), len(baseline)
    if n_new == n_old == 1:
        test = "McNemar's test of" if metric == DEFAULT_METRIC else "about"
        about = f"{test} these two trained models; runs with other seeds may differ"
    else:
        about = "about the two configurations, over seeds and test samples"
        about += "; assumes that both vary equally between seeds" if min(n_new, n_old) < MIN_FOR_INTERVAL else ""
    of_baseline = baseline[0].run_id if n_old == 1 else f"{n_old} baseline runs"
    worse = "is less accurate" if metric == DEFAULT_METRIC else f"has a worse {METRICS[metric].title}"
    text = (
        f"{variant.label} {worse} than {of_baseline}: {accuracy:.4f} ({_n_runs(n_new)}) against "
        f"{other:.4f} ({_n_runs(n_old)}), p = {p:.2g} ({about})"
    )
    return Shortfall(variant.label, accuracy, other, p, text)


def _n_runs(n: int) -> str:
    return f"{n} run{'s'[: n > 1]}"
