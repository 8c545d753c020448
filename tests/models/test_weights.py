"""Initial weights: reproducible from the seed, with the distribution of their sources."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mlcli.config.schema import CnnModel, LogisticModel, MlpModel
from mlcli.models.layers import build_network
from mlcli.models.weights import as_precision, initial_weights


def weights(seed=0, model=None):
    return initial_weights(build_network(model or MlpModel(hidden=(300,)), (1, 28, 28), 10), seed)


def test_the_same_seed_gives_identical_weights_and_another_seed_others():
    for name, array in weights(3).items():
        np.testing.assert_array_equal(array, weights(3)[name])
    assert not np.array_equal(weights(3)["1.weight"], weights(4)["1.weight"])


@pytest.mark.parametrize(
    ("model", "name", "bound"),
    [
        (MlpModel(hidden=(300,)), "1.weight", math.sqrt(6 / 784)),
        (MlpModel(hidden=(300,)), "3.weight", math.sqrt(6 / 310)),
        (MlpModel(hidden=(300,), activation="tanh"), "1.weight", math.sqrt(6 / (784 + 300))),
        (CnnModel(channels=(32, 64)), "3.weight", math.sqrt(6 / (32 * 9))),
    ],
    ids=["he", "glorot-output", "glorot-tanh", "he-convolution"],
)
def test_draws_fill_the_interval_of_their_source(model, name, bound):
    array = weights(model=model)[name]
    assert np.abs(array).max() <= bound
    assert np.abs(array).max() > 0.98 * bound
    assert array.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_biases_and_logistic_regression_start_at_zero():
    assert not weights()["1.bias"].any()
    assert not any(array.any() for array in weights(model=LogisticModel()).values())


def test_float32_is_the_float64_draw_rounded_once():
    drawn = weights()
    rounded = as_precision(drawn, "float32")
    for name, array in rounded.items():
        assert array.dtype == np.float32
        assert array.flags.c_contiguous
        np.testing.assert_array_equal(array, drawn[name].astype(np.float32))
