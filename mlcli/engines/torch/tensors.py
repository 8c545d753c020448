"""Tensors of samples: from numpy arrays, cast and scaled on the device, in batches, and from logits back to scores."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mlcli.records import Scaling, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray


Batch = tuple[Tensor, Tensor]  # samples and their classes


def as_tensor(array: NDArray[Any]) -> Tensor:
    """Return a tensor that shares its memory with the array."""
    with warnings.catch_warnings():
        # torch warns about memory-mapped data, which is read-only; the engines never write to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


class SampleScaler:
    """Computes `(x - shift) / scale` on a device in the precision of a run."""

    def __init__(self, scaling: Scaling, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self._dtype = dtype
        self._shift = self._constant(scaling.shift)
        self._scale = self._constant(scaling.scale)

    def _constant(self, value: Any) -> Tensor | float | None:
        if value is None or isinstance(value, float | int):
            return value
        return torch.as_tensor(value, dtype=self._dtype, device=self.device)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the scaled samples. x: on the device, in any dtype; stays unchanged."""
        scaled = x.to(self._dtype, copy=True)
        if self._shift is not None:
            scaled.sub_(self._shift)
        if self._scale is not None:
            scaled.div_(self._scale)
        return scaled


@dataclass(frozen=True)
class LazyBatches:
    """Batches that are prepared one by one during each iteration."""

    sources: Sequence[Any]
    prepare: Callable[[Any], Batch]

    def __iter__(self) -> Iterator[Batch]:
        return map(self.prepare, self.sources)


def scores_from_logits(logits: Tensor) -> Scores:
    """Return labels, logits and their softmax as numpy arrays. logits: (n, classes)."""
    return Scores(
        labels=logits.argmax(dim=1).cpu().numpy(),
        logits=logits.float().cpu().numpy(),
        probabilities=logits.softmax(dim=1).float().cpu().numpy(),
    )
