"""Simulated runs whose errors overlap as those of real networks do.

Whether a model is right on a sample depends on how hard the sample is for all (standard deviation 2.5), how hard it is
for this variant (0.45), how well this seed turned out (0.02) and chance (1). At accuracy 0.88 on 10,000 samples, two
seeds of one variant then differ in 0.2 percentage points of accuracy (standard deviation) and disagree on 8 % of the
samples.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

_FOR_ALL, _FOR_VARIANT, _OF_SEED = 2.5, 0.45, 0.02


@pytest.fixture
def simulate():
    return _variants


def _variants(rng, n_seeds, n_samples, accuracies, *, same_config):
    """Return for each accuracy whether a variant predicts correctly, as bool (n_seeds, n_samples).

    With same_config they find the same samples hard, as two names for one configuration do.
    """
    shared = _FOR_ALL * _normal(rng, n_samples)
    own = [_FOR_VARIANT * _normal(rng, n_samples) for _ in accuracies]
    spread = (_FOR_ALL**2 + _FOR_VARIANT**2 + _OF_SEED**2 + 1) ** 0.5
    runs = []
    for accuracy, hardness in zip(accuracies, own[:1] * len(own) if same_config else own, strict=True):
        level = np.float32(NormalDist().inv_cdf(accuracy) * spread)
        of_seeds = _OF_SEED * _normal(rng, (n_seeds, 1))
        runs.append(level + shared + hardness + of_seeds + _normal(rng, (n_seeds, n_samples)) > 0)
    return runs


def _normal(rng, size):
    return rng.standard_normal(size, dtype=np.float32)
