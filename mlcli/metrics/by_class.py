"""The scores of single classes against all others, and their averages; the confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import DataError
from mlcli.records import Scores


def confusion_matrix(labels: NDArray[np.int64], y: NDArray[np.int64], n_classes: int) -> NDArray[np.int64]:
    """Return counts, int64 (n_classes, n_classes): rows are true classes, columns predicted ones.

    DataError for arrays of different lengths and for classes outside 0 to n_classes - 1.
    """
    if y.shape != labels.shape or y.ndim != 1:
        raise DataError(f"predicted classes of shape {labels.shape}, but true classes of shape {y.shape}")
    for classes in (labels, y) if len(y) else ():
        if classes.min() < 0 or classes.max() >= n_classes:
            raise DataError(f"classes from {classes.min()} to {classes.max()}, expected 0 to {n_classes - 1}")
    counts = np.bincount(y * n_classes + labels, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class against all others.

    precision: TP / (TP + FP). recall: TP / (TP + FN). f1: their harmonic mean, 2 TP / (2 TP + FP + FN).
    As in scikit-learn with zero_division=0, 0 / 0 counts as 0: the precision of a class that is never predicted, the
    recall of one that has no samples. All are None for a class that is neither predicted nor has samples.

    roc_auc and pr_auc: see `ranking_scores`; None unless there are samples of this class and of others. brier_score:
    mean of (probability of the class - 1 if it is the true one, else 0)**2. All three are None without probabilities.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    n_samples: int  # samples whose true class it is
    roc_auc: float | None = None
    pr_auc: float | None = None
    brier_score: float | None = None


@dataclass(frozen=True)
class ProbabilityScores:
    """The scores of one class that depend on its probabilities; see `ClassScores`."""

    roc_auc: float | None
    pr_auc: float | None
    brier_score: float | None


def class_scores(
    matrix: NDArray[np.int64], names: Sequence[str], of_probabilities: Sequence[ProbabilityScores] = ()
) -> tuple[ClassScores, ...]:
    """Return the scores of every class from the confusion matrix and, if given, `probability_scores`."""
    n_true, n_predicted = matrix.sum(axis=1), matrix.sum(axis=0)
    return tuple(
        ClassScores(
            name=name,
            precision=float(hits / max(predicted, 1)) if predicted + true else None,
            recall=float(hits / max(true, 1)) if predicted + true else None,
            f1=float(2 * hits / (predicted + true)) if predicted + true else None,
            n_samples=int(true),
            **(vars(of_probabilities[index]) if of_probabilities else {}),
        )
        for index, (name, hits, predicted, true) in enumerate(
            zip(names, matrix.diagonal(), n_predicted, n_true, strict=True)
        )
    )


def macro_average(classes: Sequence[ClassScores]) -> ClassScores:
    """Return the unweighted mean of each score over the classes that have it.

    As in scikit-learn's macro average without `labels`, with zero_division=0.
    """
    fields = ("precision", "recall", "f1", "roc_auc", "pr_auc", "brier_score")
    means = {field: mean_of_known([getattr(scores, field) for scores in classes]) for field in fields}
    return ClassScores(name="macro average", n_samples=sum(scores.n_samples for scores in classes), **means)


def mean_of_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def probability_scores(scores: Scores, y: NDArray[np.int64]) -> list[ProbabilityScores]:
    """Return the scores of every class against all others; none without probabilities, or if one is not finite.

    y: int64 (n,), valid columns of the probabilities.
    """
    probabilities = scores.probabilities
    if probabilities is None or not np.isfinite(probabilities).all():
        return []
    return [_probability_scores(column, y == label) for label, column in enumerate(probabilities.T)]


def _probability_scores(probabilities: NDArray[np.floating], is_class: NDArray[np.bool_]) -> ProbabilityScores:
    distances = probabilities.astype(np.float64) - is_class
    n_samples = np.count_nonzero(is_class)
    roc_auc, pr_auc = ranking_scores(probabilities, is_class) if 0 < n_samples < len(is_class) else (None, None)
    return ProbabilityScores(roc_auc, pr_auc, float(np.square(distances).mean()))


def ranking_scores(values: NDArray[np.floating], is_class: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the area under the ROC curve, and the average precision, of values that should be high for a class.

    values, is_class: (n,), with samples of the class and others. The first is the probability that a sample of the
    class has a higher value than another one, where equal values count half (Hanley and McNeil, Radiology 143, 1982).
    The second is the mean, over the samples of the class, of the precision among all samples whose value is at least
    as high; the area under the precision-recall curve without interpolation, as in scikit-learn.
    """
    order = np.argsort(values)[::-1]
    ordered = values[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), len(ordered) - 1)  # of runs of equal values
    n_hits = np.cumsum(is_class[order])[ends]
    n_others = ends + 1 - n_hits
    new_hits, new_others = np.diff(n_hits, prepend=0), np.diff(n_others, prepend=0)
    area = float((new_others * (n_hits - new_hits / 2)).sum() / (n_hits[-1] * n_others[-1]))
    return area, float((new_hits * (n_hits / (ends + 1))).sum() / n_hits[-1])
