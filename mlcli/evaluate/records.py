"""Everything that is said of one scored split, as one record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from mlcli.metrics.calibration import Calibration
from mlcli.metrics.mistakes import Mistake
from mlcli.metrics.scores import ClassScores
from mlcli.records import Metrics, SplitName

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EVALUATION_SCHEMA_VERSION = 1


@dataclass(frozen=True)
class PredictionTime:
    """Seconds to score the whole split. first: the first call, which pays for warming up; warm: the calls after it."""

    batch_size: int
    first_seconds: float
    warm_seconds: tuple[float, ...]

    @property
    def median_seconds(self) -> float:
        """Of the warm calls."""
        return median(self.warm_seconds)


@dataclass(frozen=True)
class Evaluation:
    """A stored run, scored again on one split."""

    run_id: str
    backend: str  # the engine that scored
    trained_on: str  # the engine that trained
    dataset: str
    split: SplitName
    metrics: Metrics
    reported: Metrics | None  # what the run said of the same split of the same data, None where it said nothing
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
