"""Hold variants against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from mlcli.compare.records import FIGURES, MeasuredRun, Pair, Variant
from mlcli.compare.statistics.accuracy import AccuracyDifference, accuracy_difference, mcnemar_p
from mlcli.compare.statistics.intervals import MeanInterval, mean_interval
from mlcli.compare.statistics.times import TimeRatio, time_ratio
from mlcli.compare.statistics.verdicts import ALPHA, accuracy_verdicts, holm, time_verdicts

if TYPE_CHECKING:
    from numpy.typing import NDArray


def mean_figures(variant: Variant) -> dict[str, MeanInterval | None]:
    """The mean of each figure over the seeds; None for a figure that a run does not have, or without runs."""
    means: dict[str, MeanInterval | None] = {}
    for name in FIGURES:
        values = [value for run in variant.runs if (value := run.figures.get(name)) is not None]
        means[name] = mean_interval(values) if values and len(values) == len(variant.runs) else None
    return means


def compare_pairs(variants: Sequence[Variant]) -> tuple[Pair, ...]:
    """Every two variants that have runs; the earlier one is the reference.

    All are one family: the verdicts are corrected for the number of pairs, so that they hold together.
    """
    ran = [variant for variant in variants if variant.runs]
    return with_verdicts([_pair(later, earlier) for earlier, later in combinations(ran, 2)])


def with_verdicts(pairs: Sequence[Pair]) -> tuple[Pair, ...]:
    """The pairs with verdicts that are corrected for their number."""
    of_accuracy = iter(accuracy_verdicts([pair.accuracy for pair in pairs if pair.accuracy]))
    of_time = iter(time_verdicts([pair.time for pair in pairs if pair.time]))
    return tuple(
        Pair(
            pair.variant,
            pair.reference,
            pair.seeds,
            pair.accuracy,
            next(of_accuracy) if pair.accuracy else None,
            pair.time,
            next(of_time) if pair.time else None,
            pair.mcnemar_p,
        )
        for pair in pairs
    )


def _pair(variant: Variant, reference: Variant) -> Pair:
    seeds = tuple(seed for seed in reference.seeds if seed in variant.seeds)
    accuracy, p_value = _accuracy(variant, reference, seeds)
    return Pair(variant.label, reference.label, seeds, accuracy, None, _time(variant, reference, seeds), None, p_value)


def _accuracy(
    variant: Variant, reference: Variant, seeds: Sequence[int]
) -> tuple[AccuracyDifference | None, float | None]:
    digests = {run.test_digest for run in (*variant.runs, *reference.runs) if run.seed in seeds}
    if len(digests) != 1:  # no seed in common, or not the same samples
        return None, None
    first, second = correct_by_seed(variant, seeds), correct_by_seed(reference, seeds)
    p_value = mcnemar_p(first[0], second[0]) if len(seeds) == 1 else None
    return accuracy_difference(first, second), p_value


def correct_by_seed(variant: Variant, seeds: Sequence[int]) -> NDArray[np.bool_]:
    """Whether the variant was right, bool (n_seeds, n_test)."""
    by_seed = {run.seed: run.correct for run in variant.runs}
    return np.stack([by_seed[seed] for seed in seeds])


@dataclass(frozen=True)
class Shortfall:
    """A variant that is significantly less accurate than one given run. difference: share, variant minus run."""

    variant: str
    difference: float
    corrected_p: float


def worse_than(variants: Sequence[Variant], run: MeasuredRun) -> list[Shortfall]:
    """The variants that are less accurate than this one trained model, corrected for their number.

    All must have been scored on its test samples. A variant with one run is judged by McNemar's exact test, one with
    more over its seeds and the test samples.
    """
    judged = [(variant, *_against(variant, run.correct)) for variant in variants if variant.runs]
    corrected = holm([p_value for _, _, p_value in judged])
    return [
        Shortfall(variant.label, mean, p_value)
        for (variant, mean, _), p_value in zip(judged, corrected, strict=True)
        if mean < 0 and p_value < ALPHA
    ]


def _against(variant: Variant, reference: NDArray[np.bool_]) -> tuple[float, float]:
    """The mean difference and its p value."""
    correct = correct_by_seed(variant, variant.seeds)
    difference = accuracy_difference(correct, np.broadcast_to(reference, correct.shape))
    if difference.p_value is None:
        return difference.mean, mcnemar_p(correct[0], reference)
    return difference.mean, difference.p_value


def _time(variant: Variant, reference: Variant, seeds: Sequence[int]) -> TimeRatio | None:
    times = [_fit_seconds(variant), _fit_seconds(reference)]
    rounds = [seed for seed in seeds if all(by_seed.get(seed) for by_seed in times)]
    return time_ratio(*[[by_seed[seed] for seed in rounds] for by_seed in times]) if rounds else None


def _fit_seconds(variant: Variant) -> Mapping[int, float]:
    return {run.seed: seconds for run in variant.runs if (seconds := run.figures.get("fit_seconds"))}
