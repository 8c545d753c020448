"""Misclassified samples, those with the most confident predictions first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlcli.metrics.calibration import confidence
from mlcli.metrics.scores import check_scores
from mlcli.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Mistake:
    """A misclassified sample: its position in the split, and the probability of the predicted class if there is one."""

    index: int
    true: int
    predicted: int
    probability: float | None


def confident_mistakes(scores: Scores, y: NDArray[np.int64], n: int) -> tuple[Mistake, ...]:
    """Return the n mistakes with the highest probability, lower index first if they tie; without any, by index.

    DataError: see `check_scores`.
    """
    check_scores(scores, y)
    wrong = np.flatnonzero(scores.labels != y)
    probabilities = confidence(scores)
    if probabilities is not None:
        wrong = wrong[np.argsort(-probabilities[wrong], kind="stable")]
    return tuple(
        Mistake(
            index=int(index),
            true=int(y[index]),
            predicted=int(scores.labels[index]),
            probability=None if probabilities is None else float(probabilities[index]),
        )
        for index in wrong[:n]
    )
