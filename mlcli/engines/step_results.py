"""The figures of a pass, out of what an engine has at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from mlcli.records import StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray


def batch_sizes(n_samples: int, batch_size: int) -> NDArray[np.int64]:
    """The samples of each batch, int64 (ceil(n_samples / batch_size),): all whole but perhaps the last."""
    return np.minimum(batch_size, n_samples - np.arange(0, n_samples, batch_size))


def from_samples(losses: NDArray[np.float64], n_correct: int, batch_size: int) -> StepResults:
    """A pass whose losses are known sample by sample, float64 (n,), in the order in which they were met."""
    n_whole = len(losses) // batch_size * batch_size
    means = losses[:n_whole].reshape(-1, batch_size).mean(axis=1)
    if n_whole < len(losses):
        means = np.append(means, losses[n_whole:].mean())
    return StepResults(means, batch_sizes(len(losses), batch_size), n_correct)
