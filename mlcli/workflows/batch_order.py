"""The order in which an epoch meets the samples: a pure function of the seed and the epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Separates the random streams that share a run's seed.
_STREAM = 0x0B


def epoch_order(seed: int, epoch: int, n_samples: int) -> NDArray[np.int64]:
    """A permutation of n_samples positions, int64 (n,), for the epoch counted from 1."""
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, _STREAM, epoch])))
    return generator.permutation(n_samples)
