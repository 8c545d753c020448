"""What a history says of overfitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlcli.records import EpochRecord

# The rise of the validation loss, as a share of its least value, up to which it is taken for noise.
NOISE = 0.05


@dataclass(frozen=True)
class Overfitting:
    """least_epoch: the epoch of least validation loss. begins: the epoch after it, where the model overfits from
    there on, else None. rise: how far the last validation loss lies above the least, as a share of it.
    """

    least_epoch: int
    begins: int | None
    rise: float


def overfitting(history: Sequence[EpochRecord]) -> Overfitting | None:
    """Where overfitting begins; None for a history without validation losses.

    The sign is a validation loss that ends more than 5 % above its least value while the training loss went on
    falling. The rise is the generalization loss of Prechelt, "Early Stopping - But When?" (1998), as a share, and
    5 % the strictness of his criterion GL_5.
    """
    losses = [(record.validation_loss, record) for record in history if record.validation_loss is not None]
    if not losses:
        return None
    least_loss, least = min(losses, key=lambda pair: pair[0])
    last_loss, last = losses[-1]
    rise = last_loss / least_loss - 1 if least_loss > 0 else 0.0
    still_falls = least.train_loss is not None and last.train_loss is not None and last.train_loss < least.train_loss
    return Overfitting(least.epoch, least.epoch + 1 if rise > NOISE and still_falls else None, rise)
