from __future__ import annotations

import numpy as np
import pytest

from mlcli.data.preprocessing import fit_scaling, take
from mlcli.records import DatasetInfo, Scaling, Split
from mlcli.registry import DATASETS

IRIS, FASHION = DATASETS["iris"], DATASETS["fashion"]
TABLE = np.array([[1, 7, 0], [3, 7, -2], [8, 7, 10]], np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (2500, 1, 28, 28), dtype=np.uint8)


def test_the_first_samples_are_taken_without_a_copy():
    source = Split(np.arange(24).reshape(6, 4), np.arange(6))
    assert take(source, np.arange(6)) is source
    assert np.shares_memory(take(source, np.arange(3)).x, source.x)
    taken = take(source, np.array([4, 1]))
    assert taken.x.tolist() == [[16, 17, 18, 19], [4, 5, 6, 7]]
    assert taken.y.tolist() == [4, 1]


def scaled(x, scaling):
    shifted = x.astype(np.float64) if scaling.shift is None else x.astype(np.float64) - scaling.shift
    return shifted if scaling.scale is None else shifted / scaling.scale


def test_none_does_not_change_values():
    assert fit_scaling("none", IRIS.info, TABLE) == Scaling("none")


def test_unit_divides_pixels_by_their_maximum():
    assert fit_scaling("auto", FASHION.info, IMAGES) == Scaling("unit", scale=255.0)
    assert fit_scaling("unit", DATASETS["digits"].info, IMAGES).scale == 16.0


def test_unit_maps_table_features_to_0_1():
    values = scaled(TABLE, fit_scaling("unit", IRIS.info, TABLE))
    assert values.min(axis=0).tolist() == [0, 0, 0]
    assert values.max(axis=0).tolist() == [1, 0, 1]  # the constant feature stays at 0


def test_standard_equals_scikit_learns_scaler_on_tables():
    from sklearn.preprocessing import StandardScaler

    scaling = fit_scaling("auto", IRIS.info, TABLE)
    assert scaling.kind == "standard"
    reference = StandardScaler().fit(TABLE.astype(np.float64))
    np.testing.assert_allclose(scaling.shift, reference.mean_, rtol=1e-15)
    np.testing.assert_allclose(scaling.scale, reference.scale_, rtol=1e-15)
    assert scaling.scale[1] == 1.0


def test_standard_is_one_mean_and_one_deviation_over_all_pixels():
    scaling = fit_scaling("standard", FASHION.info, IMAGES)
    assert scaling.shift == pytest.approx(IMAGES.mean(dtype=np.float64), rel=1e-14)
    assert scaling.scale == pytest.approx(IMAGES.astype(np.float64).std(), rel=1e-14)
    flat = IMAGES.reshape(len(IMAGES), -1)
    assert np.array_equal(scaled(IMAGES, scaling).reshape(flat.shape), scaled(flat, scaling))


def test_constant_pixels_are_divided_by_one():
    constant = np.full((3, 1, 2, 2), 9, np.uint8)
    assert fit_scaling("standard", FASHION.info, constant).scale == 1.0


@pytest.mark.parametrize("shape", [(1, 1), (1000, 1), (1000, 2), (777, 3), (300, 50), (5, 2000)])
def test_mean_and_deviation_of_blocks_are_bit_identical_to_those_of_numpy(shape, monkeypatch):
    monkeypatch.setattr("mlcli.data.preprocessing._BLOCK_VALUES", 100)
    x = np.random.default_rng(0).normal(3.0, 1e3, size=shape)
    info = DatasetInfo("t", "table", shape[1:], ("a", "b"), (), shape[0], 0, "")
    scaling = fit_scaling("standard", info, x)
    np.testing.assert_array_equal(scaling.shift, x.mean(axis=0))
    np.testing.assert_array_equal(scaling.scale, np.where(x.std(axis=0) == 0, 1.0, x.std(axis=0)))
