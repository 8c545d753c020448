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
from mlcli.data.splits import Indices, Part, SplitPlan, SplitSource, plan_splits
from mlcli.memory import MappedPages
from mlcli.records import Dataset, DatasetInfo, Scaling, Split, TableEncoding

_CHUNK = 1024  # images converted to float64 at a time
_BLOCK_VALUES = 2**16  # of rows of a table: they stay in the cache of the processor


def preprocess(data: SourceData, info: DatasetInfo, config: DatasetConfig, plan: SplitPlan | None = None) -> Dataset:
    """Return the split and limited dataset, with a fitted scaling. UsageError for a split without samples.

    plan: the splits, if they are planned already.
    """
    plan = plan or plan_splits(config, info, split_source(data))
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


def is_scored_whole(data: SourceData, trained_on: str | None) -> bool:
    """Return whether data are scored whole: they have no test set, and other content than a run was trained on.

    trained_on: the digest of that content; None for data that are split in any case.
    """
    return trained_on not in (None, data.fingerprint) and data.test is None


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


def as_native(x: NDArray[Any]) -> NDArray[Any]:
    """Return the values as uint8, float32 or float64, the smallest of them that holds every value of the type."""
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind == "b":
        return x.astype(np.uint8)
    is_small = x.dtype.itemsize <= (4 if x.dtype.kind == "f" else 2)
    with np.errstate(over="ignore", invalid="ignore"):  # the caller looks for values that are not finite
        return x.astype(np.float32 if is_small else np.float64, copy=False)


def fit_scaling(kind: Literal["auto", "none", "unit", "standard"], info: DatasetInfo, x: NDArray[Any]) -> Scaling:
    """Return the scaling fitted on the training samples x (n, *input_shape).

    unit: to [0, 1], by `info.maximum` if it is known (bytes), else by the minimum and maximum in x, of each feature of
    tables, of all pixels of images.
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
    if info.kind == "image":
        return _standard_pixels(x) if kind == "standard" else _unit_pixels(x)
    if info.encoding is not None and info.encoding.form == "codes":
        return _scaling_of_present(kind, info.encoding, x)
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


def _scaling_of_present(kind: Literal["unit", "standard"], encoding: TableEncoding, x: NDArray[Any]) -> Scaling:
    """Return the scaling by the values of each feature that are not missing (NaN); categories stay as they are."""
    shift, scale = np.zeros(x.shape[1]), np.ones(x.shape[1])
    for index in np.flatnonzero(~np.array(encoding.is_category)):
        present = x[~np.isnan(x[:, index]), index]
        if len(present) and kind == "unit":
            shift[index], scale[index] = present.min(), np.ptp(present)
        elif len(present):
            shift[index], scale[index] = present.mean(), present.std()
    return Scaling(kind, shift, np.where(scale == 0, 1.0, scale))


def _standard_pixels(x: NDArray[Any]) -> Scaling:
    """Return the scaling by one mean and one deviation over all pixels.

    The sums of bytes and of their squares are integers below 2**53, so they are exact in any order. Other numbers are
    summed after the mean is subtracted, in two passes, so that no digits cancel.
    """
    if x.dtype != np.uint8:
        mean = sum(float(block.sum()) for block in _pixels(x)) / x.size
        variance = sum(float(np.square(block - mean).sum()) for block in _pixels(x)) / x.size
        return Scaling("standard", shift=np.array(mean), scale=math.sqrt(variance) or 1.0)
    total, squares = 0, 0
    for values in _pixels(x):
        total += int(values.sum())
        squares += int(values @ values)
    variance = (x.size * squares - total * total) / (x.size * x.size)
    return Scaling("standard", shift=np.array(total / x.size), scale=math.sqrt(variance) or 1.0)


def _unit_pixels(x: NDArray[Any]) -> Scaling:
    """Return the scaling by the smallest and the largest of all pixels."""
    smallest, largest = float(x.min()), float(x.max())
    return Scaling("unit", shift=np.array(smallest), scale=(largest - smallest) or 1.0)


def _pixels(x: NDArray[Any]) -> Iterator[NDArray[np.float64]]:
    """Yield all values as float64 (n,), some images at a time."""
    return (x[start : start + _CHUNK].astype(np.float64).ravel() for start in range(0, len(x), _CHUNK))
