"""The learning rates and the batch order of an epoch, the same for every engine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlcli.config.schema import ConstantSchedule, CosineSchedule, OneCycleSchedule, ScheduleConfig, StepSchedule

_STREAM = 0x0B  # separates the random streams that share a run's seed


def learning_rates(
    schedule: ScheduleConfig, lr: float, *, epoch: int, n_epochs: int, n_steps: int
) -> NDArray[np.float64]:
    """Return the learning rate of each step of an epoch, float64 (n_steps,); epochs count from 1."""
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
    """Cosine annealing without restarts after a linear warm-up (Loshchilov and Hutter, arXiv:1608.03983, eq. 5)."""
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


def _between(start: float, end: float, fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values from start, at fraction 0, to end, at fraction 1, along half a cosine."""
    return end + (start - end) * (1 + np.cos(np.pi * fraction)) / 2


def epoch_order(seed: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """Return the order of the training samples in an epoch: a permutation, int64 (n_samples,); epochs count from 1.

    It depends on nothing but the seed, the epoch and the number of samples.
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM, epoch])))
    return generator.permutation(n_samples)
