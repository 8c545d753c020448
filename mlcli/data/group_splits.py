"""Splits that leave groups of samples, such as those of one patient, whole; approximately stratified.

y, groups: int64 (n,), the class and the group of each sample.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlcli.errors import UsageError


def picked_groups(
    fraction: float, y: NDArray[np.int64], groups: NDArray[np.int64], generator: np.random.Generator
) -> NDArray[np.bool_]:
    """Return whether each sample is picked: whole groups, about a fraction of each class, neither none nor all.

    UsageError for a single group.
    """
    _, first, sizes = np.unique(groups, return_index=True, return_counts=True)
    if len(sizes) == 1:
        raise UsageError("dataset.group: all samples are of one group, and a split needs two")
    is_picked: NDArray[np.bool_] = dealt_groups(y, groups, np.array([1 - fraction, fraction]), generator) == 1
    if is_picked.all() or not is_picked.any():  # so few groups that the rule leaves one side empty
        is_picked[groups == groups[first[sizes.argmin()]]] = not is_picked.any()
    return is_picked


def dealt_groups(
    y: NDArray[np.int64], groups: NDArray[np.int64], fractions: NDArray[np.float64], generator: np.random.Generator
) -> NDArray[np.int64]:
    """Return the part of each sample, int64 (n,); parts hold about these fractions of each class, in whole groups.

    The groups are dealt in random order, though any that has twice the samples of another or more comes first. Each
    goes to the part for which the fractions of the classes that the parts then have differ least from their sizes: the
    sum over classes of the variance of (fraction of the class in the part) / (size of the part), weighted by size.
    If parts tie, it goes to the emptiest. This is the rule of scikit-learn's StratifiedGroupKFold (after J. Wasikowski,
    "Stratified Group k-Fold Cross-Validation", 2019), which has parts of one size and compares standard deviations.
    """
    _, codes, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    n_classes, n_groups = int(y.max()) + 1, len(sizes)
    pairs, counts = np.unique(codes * n_classes + y, return_counts=True)  # of a group and a class
    labels = pairs % n_classes
    added = (counts / np.bincount(y)[labels])[:, None]
    starts = np.searchsorted(pairs // n_classes, np.arange(n_groups + 1))
    order = generator.permutation(n_groups)
    order = order[np.argsort(-np.frexp(sizes[order])[1], kind="stable")]
    filled, n_samples = np.zeros((n_classes, len(fractions))), np.zeros(len(fractions))
    parts = np.empty(n_groups, dtype=np.int64)
    for group in order:
        members = slice(starts[group], starts[group + 1])
        # Sums, and no matrix product, whose rounding depends on the machine.
        costs = (added[members] * (2 * filled[labels[members]] + added[members])).sum(axis=0) / fractions
        part = parts[group] = np.lexsort((n_samples / fractions, costs))[0]
        filled[labels[members], part] += added[members, 0]
        n_samples[part] += sizes[group]
    return parts[codes]
