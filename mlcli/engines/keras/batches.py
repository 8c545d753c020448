"""How the placed split reaches `keras.Sequential.fit`: gathered, cast and scaled batch by batch on the device."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from mlcli.records import Scaling


class Scale:
    """`(x - shift) / scale` in the run's precision, on the device; the samples given stay as they are."""

    def __init__(self, scaling: Scaling, device: torch.device, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._shift = _constant(scaling.shift, device, dtype)
        self._scale = _constant(scaling.scale, device, dtype)

    def __call__(self, x: Tensor) -> Tensor:
        scaled = x.to(self._dtype, copy=True)
        if self._shift is not None:
            scaled.sub_(self._shift)
        if self._scale is not None:
            scaled.div_(self._scale)
        return scaled


def _constant(value: object, device: torch.device, dtype: torch.dtype) -> Tensor | float | None:
    if value is None or isinstance(value, float | int):
        return value
    return torch.as_tensor(value, dtype=dtype, device=device)


class PlacedBatches(DataLoader[int]):
    """The batches of one pass, for `fit`.

    Keras takes a DataLoader as it is, batch by batch and without a copy, so this is the cheapest way in. Gathering
    each batch when its turn comes is faster than gathering the whole pass first, because the batch is still in the
    processor's cache when it is cast, and it takes no second copy of the split.
    """

    def __init__(self, x: Tensor, y: Tensor, batches: Sequence[Tensor], scale: Scale) -> None:
        super().__init__(cast("Dataset[int]", range(len(batches))), batch_size=None)
        self._x = x
        self._y = y
        self._batches = batches  # int64 (batch,) each: positions in x and y
        self._scale = scale

    def __iter__(self) -> Any:  # an iterator of (x, y)
        for batch in self._batches:
            yield self._scale(self._x.index_select(0, batch)), self._y.index_select(0, batch)


class GivenBatches(DataLoader[int]):
    """Batches that are ready, for `fit`. Keras looks at the first one beforehand."""

    def __init__(self, batches: Iterable[tuple[Tensor, Tensor]], n_batches: int) -> None:
        super().__init__(cast("Dataset[int]", range(n_batches)), batch_size=None)
        self._batches = batches

    def __iter__(self) -> Any:  # an iterator of (x, y)
        return iter(self._batches)
