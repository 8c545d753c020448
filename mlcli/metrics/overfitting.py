"""Detect overfitting in the history of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlcli.records import EpochRecord

# A smaller rise of the validation loss, as a fraction of its minimum, counts as noise.
NOISE = 0.05


@dataclass(frozen=True)
class Overfitting:
    """The finding of `overfitting`."""

    best_epoch: int  # of the lowest validation loss
    first_epoch: int | None  # the first epoch of overfitting; None if there is none
    rise: float  # of the last validation loss above the lowest, as a fraction of the lowest


def overfitting(history: Sequence[EpochRecord]) -> Overfitting | None:
    """Return where overfitting begins; None for a history without validation losses.

    A run overfits if its validation loss ends more than 5 % above the minimum although the training loss kept falling.
    The rise is the generalization loss of Prechelt, "Early Stopping - But When?" (1998), as a fraction, and 5 % the
    threshold of his criterion GL_5.
    """
    losses = [(record.validation_loss, record) for record in history if record.validation_loss is not None]
    if not losses:
        return None
    lowest_loss, best = min(losses, key=lambda pair: pair[0])
    last_loss, last = losses[-1]
    rise = last_loss / lowest_loss - 1 if lowest_loss > 0 else 0.0
    keeps_falling = best.train_loss is not None and last.train_loss is not None and last.train_loss < best.train_loss
    return Overfitting(best.epoch, best.epoch + 1 if rise > NOISE and keeps_falling else None, rise)
