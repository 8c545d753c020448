"""Verdicts from intervals and p values.

"higher" or "lower": the corrected p value is below 0.05. "tie": the whole confidence interval lies within a margin of
no difference (equivalence test of Schuirmann, Journal of Pharmacokinetics and Biopharmaceutics 15, 1987), or all
predictions are equally right on enough samples.
"inconclusive": neither could be shown; the verdict then estimates how many measurements would suffice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from mlcli.compare.statistics import ACCURACY_MARGIN, ALPHA, TIME_MARGIN
from mlcli.compare.statistics.accuracy import AccuracyDifference
from mlcli.compare.statistics.folds import FoldsDifference
from mlcli.compare.statistics.scores import ScoreDifference
from mlcli.compare.statistics.times import TimeRatio

Word = Literal["higher", "lower", "tie", "inconclusive"]


@dataclass(frozen=True)
class Verdict:
    """The conclusion about a difference.

    corrected_p: the p value, corrected for the number of pairs; None if nothing was tested.
    n_needed: for "inconclusive", the estimated number of runs of each variant for a conclusion; None if no number of
    them would suffice, or if there is only one.
    detectable_difference: the smallest true difference in accuracy, a fraction, that the runs at hand would have shown
    with 80 % probability; None for times and with fewer than three runs.
    """

    word: Word
    corrected_p: float | None
    n_needed: int | None = None
    detectable_difference: float | None = None


def accuracy_verdicts(differences: Sequence[AccuracyDifference | FoldsDifference]) -> list[Verdict]:
    """Return a verdict on each difference, corrected for their number."""
    return score_verdicts(differences)


def margin_of(difference: AccuracyDifference | FoldsDifference) -> float:
    """Return the difference within which two variants are a tie."""
    return difference.margin if isinstance(difference, ScoreDifference | FoldsDifference) else ACCURACY_MARGIN


def _with_detectable(
    verdicts: Sequence[Verdict], differences: Sequence[AccuracyDifference | FoldsDifference]
) -> list[Verdict]:
    confidence = 1 - ALPHA / max(1, len(differences))
    return [
        replace(verdict, detectable_difference=difference.detectable(confidence))
        for verdict, difference in zip(verdicts, differences, strict=True)
    ]


def score_verdicts(differences: Sequence[AccuracyDifference | FoldsDifference]) -> list[Verdict]:
    """Return a verdict on each difference in a metric, corrected for their number; "higher" may be better or worse."""
    margins = [margin_of(difference) for difference in differences]
    return _with_detectable(_verdicts(differences, no_effect=0.0, margins=margins), differences)


def time_verdicts(ratios: Sequence[TimeRatio]) -> list[Verdict]:
    """Return a verdict on each ratio, corrected for their number; "higher" is slower."""
    return _verdicts(ratios, no_effect=1.0, margins=[TIME_MARGIN] * len(ratios))


def _verdicts(
    effects: Sequence[AccuracyDifference | FoldsDifference | TimeRatio], *, no_effect: float, margins: Sequence[float]
) -> list[Verdict]:
    confidence = 1 - ALPHA / max(1, len(effects))
    corrected_p = iter(holm([effect.p_value for effect in effects if effect.p_value is not None]))
    verdicts = []
    for effect, margin in zip(effects, margins, strict=True):
        p = None if effect.p_value is None else next(corrected_p)
        if p is not None and p < ALPHA:
            verdicts.append(Verdict("higher" if effect.mean > no_effect else "lower", p))
        elif effect.is_within(margin):
            verdicts.append(Verdict("tie", p))
        else:
            verdicts.append(Verdict("inconclusive", p, effect.runs_needed(margin, confidence)))
    return verdicts


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values corrected for their number, in the order given.

    Rejecting what stays below 0.05 keeps the probability of any false rejection at 0.05 or less, whatever the
    dependence between the tests (Holm, Scandinavian Journal of Statistics 6, 1979).
    """
    order = np.argsort(p_values)
    raised = np.asarray(p_values)[order] * np.arange(len(order), 0, -1)
    corrected = np.empty(len(order))
    corrected[order] = np.maximum.accumulate(np.minimum(raised, 1.0))
    return [float(p) for p in corrected]
