"""Records of a parity check. Losses are in nats per sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class ParityStep:
    """One step of two engines on the same batch."""

    step: int  # from 1
    losses: tuple[float, float]  # of the batch, before its update
    weight_difference: float  # the largest absolute difference over all weights, after the update

    @property
    def loss_difference(self) -> float:
        """The absolute difference of the two losses."""
        return abs(self.losses[0] - self.losses[1])


@dataclass(frozen=True)
class ParityPair:
    """Two engines compared step by step, or the reason why they cannot be."""

    engines: tuple[str, str]
    tolerance: float  # on the loss of each step
    steps: tuple[ParityStep, ...] = ()
    reason: str | None = None  # given if there are no steps

    @property
    def first_beyond(self) -> ParityStep | None:
        """The first step whose losses differ by more than the tolerance, or by NaN."""
        return next((step for step in self.steps if not step.loss_difference <= self.tolerance), None)

    @property
    def verdict(self) -> Literal["equal", "different", "not compared"]:
        """Whether all steps agree within the tolerance."""
        if not self.steps:
            return "not compared"
        return "equal" if self.first_beyond is None else "different"


@dataclass(frozen=True)
class ParityReport:
    """Engines that took the same steps from the same initial weights, pair by pair."""

    experiment: str
    n_steps: int
    batch_size: int | None  # None if no engine can take a step
    n_parameters: int | None
    pairs: tuple[ParityPair, ...]
    notes: tuple[str, ...]
