"""Simulated runs whose errors overlap as those of real networks do.

Whether a model is right on a sample depends on how hard the sample is for all (standard deviation 2.5), how hard it is
for this variant (by default 0.45), how well this seed turned out (0.02) and chance (1). At accuracy 0.88 on 10,000
samples, two seeds of one variant then differ in 0.2 percentage points of accuracy (standard deviation) and disagree on
8 % of the samples.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

_FOR_ALL = 2.5


@pytest.fixture
def simulate():
    return _variants


def _variants(rng, n_seeds, n_samples, accuracies, *, own=0.45, luck=0.02):
    """Return for each accuracy whether a variant predicts correctly, as bool (n_seeds, n_samples).

    The accuracies are those expected over all seeds and samples. n_seeds and luck: one for all variants, or one for
    each. own: how hard the samples are for each variant; 0 for one configuration under several names.
    """
    seeds, lucks = (np.broadcast_to(value, len(accuracies)) for value in (n_seeds, luck))
    shared = _FOR_ALL * _normal(rng, n_samples)
    runs = []
    for accuracy, n, of_seed in zip(accuracies, seeds, lucks, strict=True):
        level = NormalDist().inv_cdf(accuracy) * (_FOR_ALL**2 + own**2 + of_seed**2 + 1) ** 0.5
        hardness = np.float32(own) * _normal(rng, n_samples) if own else 0
        of_seeds = np.float32(level) + np.float32(of_seed) * _normal(rng, (n, 1))
        runs.append(_normal(rng, (n, n_samples)) + (shared + hardness + of_seeds) > 0)
    return runs


def _normal(rng, size):
    return rng.standard_normal(size, dtype=np.float32)
