"""What a contestant is given and what it gives back."""

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
DECAY = 0.9  # of RMSprop's mean of squared gradients
N_HIDDEN = 512
N_CLASSES = 10
MAX_ITER = 100  # of logistic regression

# --cpu-time of run.py; the wall clock otherwise.
clock = time.process_time if os.environ.get("BENCH_CPU_TIME") else time.perf_counter


@dataclass(frozen=True)
class Fashion:
    """The 60,000 training images: x uint8 (n, 1, 28, 28), y int64 (n,). folder: their files."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    folder: Path
    threads: int


@dataclass(frozen=True)
class Round:
    """What a contestant saw of its work, to show that it did it.

    seconds: where a framework does more than the work in question before and after, the contestant's own reading
    of the clock around the work; None: the whole call counts.
    """

    loss: float | None
    accuracy: float
    seconds: float | None = None


# Made once with the data, which is not timed; then called once a round, which is.
Contestant = Callable[[], Round]
Maker = Callable[[Fashion], Contestant]


def float_images(data: Fashion) -> NDArray[Any]:
    """The images as float32 (n, 784) in [0, 1], as one array."""
    import numpy as np

    return data.x.reshape(len(data.x), -1).astype(np.float32) / 255
