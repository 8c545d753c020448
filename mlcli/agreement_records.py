"""The nouns of agreement: engines that took the same steps, runs that were held equal, models converted.

Plain values only; losses are in nats per sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ReceiptPart = Literal["data", "model", "training", "machine", "code"]


@dataclass(frozen=True)
class ParityStep:
    """One step of two engines on the same batch."""

    step: int  # from 1
    losses: tuple[float, float]  # of the batch before its update, nats per sample
    weight_difference: float  # the largest |difference| over all weights after the update

    @property
    def loss_difference(self) -> float:
        return abs(self.losses[0] - self.losses[1])


@dataclass(frozen=True)
class ParityPair:
    """Two engines held against each other; no steps, and the reason, where that cannot be done."""

    engines: tuple[str, str]
    tolerance: float  # on the loss, nats per sample
    steps: tuple[ParityStep, ...] = ()
    reason: str | None = None

    @property
    def first_beyond(self) -> ParityStep | None:
        """The first step whose losses differ by more than the tolerance, or by something that is no number."""
        return next((step for step in self.steps if not step.loss_difference <= self.tolerance), None)

    @property
    def verdict(self) -> Literal["equal", "different", "not compared"]:
        if not self.steps:
            return "not compared"
        return "equal" if self.first_beyond is None else "different"


@dataclass(frozen=True)
class ParityReport:
    """Engines that took the same steps from the same weights, pair by pair."""

    experiment: str
    n_steps: int
    batch_size: int | None  # None where no engine could take a step
    n_parameters: int | None
    pairs: tuple[ParityPair, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class ReceiptRow:
    """One thing that two runs may have in common. values: one a run, in words; None where a run has no such thing."""

    part: ReceiptPart
    what: str
    values: tuple[str | None, ...]

    @property
    def is_equal(self) -> bool:
        return len(set(self.values)) == 1


@dataclass(frozen=True)
class Receipt:
    """What was held equal between runs, and what differed."""

    run_ids: tuple[str, ...]
    rows: tuple[ReceiptRow, ...]

    @property
    def different(self) -> tuple[ReceiptRow, ...]:
        return tuple(row for row in self.rows if not row.is_equal)


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
