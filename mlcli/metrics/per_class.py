"""What happens to each class: the confusion matrix, and precision, recall and F1 from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mlcli.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class ClassScores:
    """One class against all others. None stands for 0 / 0.

    precision: of the samples given this label, the share that has it. recall: of the samples that have it, the share
    that was given it. f1: their harmonic mean, 2 TP / (2 TP + FP + FN).
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    n_samples: int  # whose true class it is


def confusion_matrix(labels: NDArray[np.int64], y: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Counts int64 (n_classes, n_classes): rows are true classes, columns predicted ones.

    DataError for classes that are not from 0 to n_classes - 1, and for labels of other samples.
    """
    if y.shape != labels.shape or y.ndim != 1:
        raise DataError(f"{labels.shape} labels were predicted, and {y.shape} are known")
    for of_samples in (labels, y) if len(y) else ():
        if of_samples.min() < 0 or of_samples.max() >= n_classes:
            raise DataError(f"classes from {of_samples.min()} to {of_samples.max()}, expected 0 to {n_classes - 1}")
    counts = np.bincount(y * n_classes + labels, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def class_scores(matrix: NDArray[np.int64], names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Precision, recall and F1 of every class from its confusion matrix."""
    n_true, n_predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassScores(
            name=name,
            precision=_share(hits, predicted),
            recall=_share(hits, true),
            f1=_share(2 * hits, predicted + true),
            n_samples=int(true),
        )
        for name, hits, predicted, true in zip(names, matrix.diagonal(), n_predicted, n_true, strict=True)
    )


def macro_average(classes: Sequence[ClassScores]) -> ClassScores:
    """The unweighted mean of each score over the classes where it exists."""
    return ClassScores(
        name="macro average",
        precision=_mean([scores.precision for scores in classes]),
        recall=_mean([scores.recall for scores in classes]),
        f1=_mean([scores.f1 for scores in classes]),
        n_samples=sum(scores.n_samples for scores in classes),
    )


def _share(part: int, whole: int) -> float | None:
    return float(part / whole) if whole else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
