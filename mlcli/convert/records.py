"""The result of a conversion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Conversion:
    """A trained model as a file of another project, and how its scores compare with those of the run's own engine."""

    run_id: str
    backend: str  # of the run, which gave the scores to compare with
    target: str
    path: str
    n_bytes: int
    dataset: str
    n_samples: int  # of the test split
    compared: Literal["logits", "probabilities", "labels"]
    largest_difference: float | None  # None where only labels can be compared
    largest_relative_difference: float | None  # to the largest |score| of the same sample
    tolerance: float  # on the relative difference
    n_changed: int  # samples whose predicted class is another one
    accuracy: float  # of the converted model
    reported_accuracy: float | None  # of the run, None where it was scored on other data
    usage: str  # lines of Python that load the file and score samples
    notes: tuple[str, ...]

    @property
    def is_within(self) -> bool:
        """Whether the scores are those of the run; labels must be the same where there is nothing else."""
        if self.largest_relative_difference is None:
            return self.n_changed == 0
        return self.largest_relative_difference <= self.tolerance
