"""The input and the result of a contestant, and the settings that all contestants share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BATCH_SIZE = 128
LEARNING_RATE = 1e-3
DECAY = 0.9  # decay rate of the mean of squared gradients in RMSprop
N_HIDDEN = 512
N_CLASSES = 10
MAX_ITER = 100  # iterations of logistic regression

# `run.py --cpu-time` sets BENCH_CPU_TIME and so selects processor time. The default is the wall clock.
clock = time.process_time if os.environ.get("BENCH_CPU_TIME") else time.perf_counter


@dataclass(frozen=True)
class Fashion:
    """The 60,000 training images of Fashion-MNIST.

    x: uint8 (n, 1, 28, 28). y: int64 (n,). folder: the data directory. threads: the number of CPU threads to use.
    """

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    folder: Path
    threads: int


@dataclass(frozen=True)
class Round:
    """The result of one round of a contestant.

    loss and accuracy show that the contestant did the work. seconds: the time that the contestant measured itself,
    for frameworks that do additional work before and after the measured part; None: the whole call is timed.
    """

    loss: float | None
    accuracy: float
    seconds: float | None = None


# A maker is called once with the data and is not timed. The contestant it returns is called and timed in every round.
Contestant = Callable[[], Round]
Maker = Callable[[Fashion], Contestant]


def float_images(data: Fashion) -> NDArray[Any]:
    """Return the images as one float32 array of shape (n, 784) with values in [0, 1]."""
    import numpy as np

    return data.x.reshape(len(data.x), -1).astype(np.float32) / 255
