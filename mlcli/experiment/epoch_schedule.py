"""Learning-rate schedules: the rate of every step of an epoch, the same for every engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcli.config.schema import (
    ConstantSchedule,
    CosineSchedule,
    OneCycleSchedule,
    ScheduleConfig,
    StepSchedule,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray


def learning_rates(
    schedule: ScheduleConfig, lr: float, *, epoch: int, n_epochs: int, n_steps: int
) -> NDArray[np.float64]:
    """The learning rates of the n_steps steps of an epoch, float64 (n_steps,); epochs count from 1."""
    steps = np.arange(n_steps, dtype=np.float64) + (epoch - 1) * n_steps
    match schedule:
        case ConstantSchedule():
            return np.full(n_steps, lr)
        case StepSchedule():
            return np.full(n_steps, lr * schedule.factor ** ((epoch - 1) // schedule.every_epochs))
        case CosineSchedule():
            return _cosine(schedule, lr, steps, n_total=n_epochs * n_steps, n_warmup=schedule.warmup_epochs * n_steps)
        case OneCycleSchedule():
            return _one_cycle(schedule, lr, steps, n_total=n_epochs * n_steps)


def _cosine(
    schedule: CosineSchedule, lr: float, steps: NDArray[np.float64], *, n_total: int, n_warmup: float
) -> NDArray[np.float64]:
    """Loshchilov and Hutter, arXiv:1608.03983, equation 5, without restarts, after a linear warm-up."""
    n_falling = max(n_total - n_warmup, 1)
    falling = _between(lr, schedule.final_fraction * lr, np.clip((steps - n_warmup) / n_falling, 0, 1))
    rising = lr * (steps + 1) / max(n_warmup, 1)
    return np.where(steps < n_warmup, np.minimum(rising, lr), falling)


def _one_cycle(
    schedule: OneCycleSchedule, lr: float, steps: NDArray[np.float64], *, n_total: int
) -> NDArray[np.float64]:
    """Two cosine phases whose turning points are those of `torch.optim.lr_scheduler.OneCycleLR`."""
    peak = schedule.warmup_fraction * n_total - 1
    end = n_total - 1
    rising = _between(lr / schedule.start_divisor, lr, steps / peak if peak > 0 else np.ones_like(steps))
    falling = _between(lr, lr / schedule.end_divisor, np.clip((steps - peak) / max(end - peak, 1), 0, 1))
    return np.where(steps <= peak, rising, falling)


def _between(start: float, end: float, share: NDArray[np.float64]) -> NDArray[np.float64]:
    """From start at share 0 to end at share 1 along half a cosine."""
    return end + (start - end) * (1 + np.cos(np.pi * share)) / 2


# Separates the random streams that share a run's seed.
_STREAM = 0x0B


def epoch_order(seed: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """A permutation of n_samples positions, int64 (n,), for the epoch counted from 1."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM, epoch])))
    return generator.permutation(n_samples)
