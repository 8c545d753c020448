"""What happens between a source and training: split, limit, and fit the scaling on the training samples."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcli.config.dataset import DatasetConfig
from mlcli.data.source import SourceData
from mlcli.data.splits import Indices, Part, SplitSource, plan_splits
from mlcli.memory import MappedPages
from mlcli.records import Dataset, DatasetInfo, Scaling, Split

_CHUNK = 1024  # images converted to float64 at a time
_BLOCK_VALUES = 2**16  # of rows of a table: they stay in the cache of the processor


def preprocess(data: SourceData, info: DatasetInfo, config: DatasetConfig) -> Dataset:
    """Return the split and limited dataset, with a fitted scaling. UsageError for a split without samples."""
    plan = plan_splits(config, info, split_source(data))
    samples = functools.cache(functools.partial(_samples, data))
    train = samples(plan.train)
    return Dataset(
        info=info,
        train=train,
        validation=samples(plan.validation) if plan.validation else None,
        test=samples(plan.test),
        scaling=fit_scaling(config.scaling, info, train.x),
        fingerprint=data.fingerprint,
        split_digest=plan.digest(),
        notes=plan.notes,
    )


def split_source(data: SourceData) -> SplitSource:
    """Return what the splits of a source are made of."""
    return SplitSource(data.train.y, len(data.test or ()), len(data.validation or ()))


def _samples(data: SourceData, part: Part) -> Split:
    array = {"train": data.train, "validation": data.validation, "test": data.test}[part.array]
    assert array is not None
    return take(array, part.indices)


def take(source: Split, indices: Indices) -> Split:
    """Return the samples at `indices`; a view if these are the first n in order, so that no mapped file is copied."""
    n_samples = len(indices)
    if not isinstance(source.x, np.ndarray):  # samples that are computed when they are taken
        return Split(source.x.take(indices), np.take(source.y, indices))
    if not np.array_equal(indices, np.arange(n_samples)):
        # np.take is many times faster here than indexing a four-dimensional array.
        return Split(np.take(source.x, indices, axis=0), np.take(source.y, indices))
    if n_samples == len(source):
        return source
    return Split(source.x[:n_samples], source.y[:n_samples])


def fit_scaling(kind: Literal["auto", "none", "unit", "standard"], info: DatasetInfo, x: NDArray[Any]) -> Scaling:
    """Return the scaling fitted on the training samples x (n, *input_shape).

    unit: to [0, 1], by `info.maximum` if it is known (images), else by the minimum and maximum of each feature in x.
    standard: to mean 0 and deviation 1 (population deviation, float64), per feature for tables, over all pixels for
    images. auto: unit for images, standard for tables. A feature that is constant in x is divided by 1. A feature that
    stands for a category stays 0 or 1.
    """
    if kind == "auto":
        kind = "unit" if info.kind == "image" else "standard"
    if kind == "none":
        return Scaling("none")
    if kind == "unit" and info.maximum is not None:
        return Scaling("unit", scale=info.maximum)
    if kind == "standard" and info.kind == "image":
        return _standard_pixels(x)
    if kind == "unit":
        shift = x.min(axis=0).astype(np.float64)
        scale = x.max(axis=0) - shift
    else:
        shift, scale = _mean_and_deviation(x)
    if info.encoding is not None:
        is_category = np.array(info.encoding.is_category)
        shift, scale = np.where(is_category, 0.0, shift), np.where(is_category, 1.0, scale)
    return Scaling(kind, shift, np.where(scale == 0, 1.0, scale))


def _mean_and_deviation(x: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return `x.mean(axis=0)` and `x.std(axis=0)`, bit-identical to numpy's, with the memory of a block of rows."""
    if x.shape[1] == 1:  # numpy adds a single column in another order
        values = x.astype(np.float64)
        return values.mean(axis=0), values.std(axis=0)
    mean = _sum(block for block in _blocks(x)) / len(x)
    return mean, np.sqrt(_sum(np.square(block - mean) for block in _blocks(x)) / len(x))


def _blocks(x: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    n_rows = max(1, _BLOCK_VALUES // x.shape[1])
    pages = MappedPages()
    for start in range(0, len(x), n_rows):
        block = x[start : start + n_rows]
        yield block.astype(np.float64)
        pages.was_read(block)


def _sum(blocks: Iterator[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Return the sum of all rows, added one after the other, as numpy adds the rows of a matrix."""
    total: NDArray[np.float64] = next(blocks).sum(axis=0)
    for block in blocks:
        block[0] += total
        total = block.sum(axis=0)
    return total


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
