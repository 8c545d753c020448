"""Fit the scaling of an experiment on its training split."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlcli.records import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcli.records import DatasetInfo

_CHUNK = 1024  # images converted to float64 at a time


def fit_scaling(
    kind: Literal["auto", "none", "unit", "standard"], info: DatasetInfo, maximum: float | None, x: NDArray[Any]
) -> Scaling:
    """Return the scaling fitted on the training samples x (n, *input_shape).

    unit: to [0, 1], by `maximum` if it is known (images), else by the minimum and maximum of each feature in x.
    standard: to mean 0 and deviation 1 (population deviation, float64), per feature for tables, over all pixels for
    images. auto: unit for images, standard for tables. A feature that is constant in x is divided by 1.
    """
    if kind == "auto":
        kind = "unit" if info.kind == "image" else "standard"
    if kind == "none":
        return Scaling("none")
    if kind == "unit":
        return Scaling("unit", scale=maximum) if maximum is not None else _min_to_max(x)
    return _standard_pixels(x) if info.kind == "image" else _standard_features(x)


def _min_to_max(x: NDArray[Any]) -> Scaling:
    smallest = x.min(axis=0).astype(np.float64)
    return Scaling("unit", shift=smallest, scale=_not_zero(x.max(axis=0).astype(np.float64) - smallest))


def _standard_features(x: NDArray[Any]) -> Scaling:
    values = x.astype(np.float64)
    return Scaling("standard", shift=values.mean(axis=0), scale=_not_zero(values.std(axis=0)))


def _not_zero(scale: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(scale == 0, 1.0, scale)


def _standard_pixels(x: NDArray[Any]) -> Scaling:
    """Return the scaling by one mean and one deviation over all pixels.

    The sums of bytes and of their squares are integers below 2**53, so they are exact in any order.
    """
    total, squares = 0, 0
    for start in range(0, len(x), _CHUNK):
        values = x[start : start + _CHUNK].astype(np.float64).ravel()
        total += int(values.sum())
        squares += int(values @ values)
    variance = (x.size * squares - total * total) / (x.size * x.size)
    return Scaling("standard", shift=np.array(total / x.size), scale=math.sqrt(variance) or 1.0)
