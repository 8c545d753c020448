"""The evaluation of a run on one split as immutable records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from mlcli.evaluate import SCORES
from mlcli.metrics.calibration import Calibration
from mlcli.metrics.mistakes import Mistake
from mlcli.metrics.scores import ClassScores
from mlcli.records import Metrics, Preprocessing, Scores, Split

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EVALUATION_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PredictionTime:
    """Seconds to score the whole split: in the first call, which includes warming up, and in each later one."""

    batch_size: int
    first_seconds: float
    warm_seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float:
        """Median over the warm calls."""
        return median(self.warm_seconds)


@dataclass(frozen=True)
class Evaluation:
    """The scores of a stored run on one split; its fields are the keys of the JSON report."""

    run_id: str
    backend: str  # the engine that scored
    trained_on: str  # the engine that trained
    dataset: str
    split: str
    metrics: Metrics
    reported: Metrics | None  # as reported by the run for the same split of the same data; None if not reported
    classes: tuple[ClassScores, ...]
    macro: ClassScores
    confusion: NDArray[np.int64]  # (classes, classes): rows are true classes, columns predicted ones
    calibration: Calibration | None
    mistakes: tuple[Mistake, ...]
    n_mistakes: int
    time: PredictionTime
    device: str
    threads: int
    notes: Sequence[str]

    @property
    def scores(self) -> dict[str, float | None]:
        """The scores that thresholds can use, by name."""
        values = (self.metrics.accuracy, self.macro.precision, self.macro.recall, self.macro.f1)
        return dict(zip(SCORES, values, strict=True))

    def mistakes_title(self, n_shown: int) -> str:
        """Return the title of a list or plot of n_shown mistakes."""
        if not self.n_mistakes:
            return "No misclassified samples"
        if self.calibration is None:  # without probabilities they are in the order of the split
            return f"First {n_shown} of {self.n_mistakes:,} misclassified"
        return f"Top {n_shown} of {self.n_mistakes:,} misclassified, by confidence"


@dataclass(frozen=True)
class EvaluationResult:
    """An evaluation with what its plots need: the samples of the split, their scores, and the class names."""

    evaluation: Evaluation
    samples: Split
    scores: Scores
    preprocessing: Preprocessing
