"""Verdicts from intervals and p values.

"higher" or "lower": the corrected p value is below 0.05. "tie": the whole confidence interval lies within a margin of
no difference (equivalence test of Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987).
"inconclusive": neither could be shown; the verdict then estimates how many measurements would suffice.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from mlcli.compare.statistics.accuracy import AccuracyDifference
from mlcli.compare.statistics.times import TimeRatio

ALPHA = 0.05
ACCURACY_MARGIN = 0.01  # one percentage point
TIME_MARGIN = 0.05  # five per cent

Word = Literal["higher", "lower", "tie", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """The conclusion about a difference.

    corrected_p: the p value, corrected for the number of pairs; None if nothing was tested.
    n_needed: for "inconclusive", the estimated number of seeds or rounds for a conclusion; None if no number of them
    would suffice, or if there is only one.
    """

    word: Word
    corrected_p: float | None
    n_needed: int | None = None


def accuracy_verdicts(differences: Sequence[AccuracyDifference]) -> list[Verdict]:
    """Return a verdict on each difference, corrected for their number."""
    confidence = 1 - ALPHA / max(1, len(differences))
    return [
        _verdict(
            corrected,
            sign=difference.mean,
            is_within=_is_within(difference.low, difference.high, -ACCURACY_MARGIN, ACCURACY_MARGIN),
            n_needed=partial(difference.seeds_needed, ACCURACY_MARGIN, confidence),
        )
        for difference, corrected in zip(differences, _corrected([d.p_value for d in differences]), strict=True)
    ]


def time_verdicts(ratios: Sequence[TimeRatio]) -> list[Verdict]:
    """Return a verdict on each ratio, corrected for their number; "higher" is slower."""
    confidence = 1 - ALPHA / max(1, len(ratios))
    return [
        _verdict(
            corrected,
            sign=math.log(ratio.mean),
            is_within=_is_within(ratio.low, ratio.high, 1 / (1 + TIME_MARGIN), 1 + TIME_MARGIN),
            n_needed=partial(ratio.rounds_needed, TIME_MARGIN, confidence),
        )
        for ratio, corrected in zip(ratios, _corrected([r.p_value for r in ratios]), strict=True)
    ]


def _corrected(p_values: Sequence[float | None]) -> list[float | None]:
    corrected = iter(holm([p for p in p_values if p is not None]))
    return [None if p is None else next(corrected) for p in p_values]


def _is_within(low: float | None, high: float | None, least: float, most: float) -> bool:
    return low is not None and high is not None and least <= low and high <= most


def _verdict(corrected: float | None, *, sign: float, is_within: bool, n_needed: Callable[[], int | None]) -> Verdict:
    if corrected is not None and corrected < ALPHA:
        return Verdict("higher" if sign > 0 else "lower", corrected)
    if is_within:
        return Verdict("tie", corrected)
    return Verdict("inconclusive", corrected, n_needed())


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number, in the order given.

    Rejecting what stays below 0.05 keeps the probability of any false rejection at 0.05 or less, whatever the
    dependence between the tests (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected
