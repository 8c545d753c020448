from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlcli.config.schema import DatasetConfig
from mlcli.data.preprocessing import Part, SplitPlan, fit_scaling, plan_splits, stratified_split, take
from mlcli.errors import UsageError
from mlcli.records import Scaling, Split
from mlcli.registry import DATASETS

IRIS, FASHION = DATASETS["iris"], DATASETS["fashion"]
SORTED_LABELS = np.repeat(np.arange(3), 50)
TABLE = np.array([[1, 7, 0], [3, 7, -2], [8, 7, 10]], np.float32)
IMAGES = np.random.default_rng(1).integers(0, 256, (2500, 1, 28, 28), dtype=np.uint8)


def plan(n_test=0, **settings):
    return plan_splits(DatasetConfig(name="iris", **settings), IRIS.info, SORTED_LABELS, n_test)


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda counts: sum(counts) > 1),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_every_class_keeps_its_proportion(counts, share, seed):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    n_picked = round(share * len(y))
    rest, picked = stratified_split(y, n_picked, seed)
    assert sorted([*rest, *picked]) == list(range(len(y)))
    assert len(picked) == n_picked
    assert (np.diff(picked) > 0).all()
    exact = np.array(counts) * n_picked / len(y)
    assert (np.abs(np.bincount(y[picked], minlength=len(counts)) - exact) < 1).all()


def test_remaining_samples_go_to_the_largest_remainders():
    y = np.repeat([0, 1, 2], [5, 4, 1])
    _, picked = stratified_split(y, 5, seed=0)  # exact quotas 2.5, 2.0 and 0.5: the lower class wins the tie
    assert np.bincount(y[picked], minlength=3).tolist() == [3, 2, 0]


def test_the_seed_decides_the_samples():
    first, again, other = (stratified_split(SORTED_LABELS, 30, seed)[1].tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_auto_is_a_stratified_fifth_without_a_test_set():
    made = plan()
    assert made.test.array == "train"
    assert np.bincount(SORTED_LABELS[made.test.indices]).tolist() == [10, 10, 10]
    assert not set(made.train.indices) & set(made.test.indices)
    assert made.notes == ()


def test_auto_uses_the_test_set_of_the_dataset_and_keeps_the_order():
    made = plan(n_test=40)
    assert made.test.array == "test"
    assert made.test.indices.tolist() == list(range(40))
    assert made.train.indices.tolist() == list(range(150))


def test_a_fraction_ignores_the_test_set_of_the_dataset_with_a_note():
    made = plan(n_test=40, test=0.1)
    assert (made.test.array, len(made.test.indices), len(made.train.indices)) == ("train", 15, 135)
    assert made.notes == (
        "the test split is taken from the training data; the 40 test samples of the dataset are not used",
    )


def test_validation_is_taken_after_the_test_split():
    made = plan(validation=0.25)
    assert made.validation is not None
    assert np.bincount(SORTED_LABELS[made.validation.indices]).tolist() == [10, 10, 10]
    parts = [set(part.indices) for part in (made.train, made.validation, made.test)]
    assert sorted(index for part in parts for index in part) == list(range(150))


def test_testing_on_the_training_data_is_noted():
    made = plan(n_test=40, test="train")
    assert made.test is made.train
    assert made.notes == ("test scores are computed on the training data",)


def test_testing_on_the_training_data_uses_the_limited_training_split():
    made = plan(test="train", validation=0.2, limit=30)
    assert made.test is made.train
    assert len(made.train.indices) == 30


def test_validating_on_the_test_split_is_noted():
    made = plan(validation="test")
    assert made.validation is made.test
    assert made.notes == (
        "validation uses the test split, so choices based on validation scores have seen the test set",
    )


def test_limit_takes_the_first_training_samples_and_keeps_the_other_splits():
    whole, limited = plan(validation=0.1), plan(validation=0.1, limit=20)
    assert limited.train.indices.tolist() == whole.train.indices[:20].tolist()
    assert limited.validation is not None
    assert whole.validation is not None
    assert limited.validation.indices.tolist() == whole.validation.indices.tolist()
    assert limited.test.indices.tolist() == whole.test.indices.tolist()


def test_first_samples_of_a_stratified_split_are_of_every_class():
    assert set(SORTED_LABELS[plan(limit=20).train.indices]) == {0, 1, 2}


def test_a_limit_above_the_number_of_samples_is_noted():
    made = plan(limit=121)
    assert len(made.train.indices) == 120
    assert made.notes == ("limit 121 exceeds the 120 training samples; all are used",)
    assert plan(limit=120).notes == ()


def test_missing_classes_are_noted():
    assert plan(n_test=40, limit=60).notes == ("the 60 training samples contain only 2 of 3 classes",)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test": 0.001}, "dataset.test: 0.001 of 150 samples selects none"),
        ({"test": 0.999}, "dataset.test: 0.999 of 150 samples leaves none for training"),
        ({"validation": 0.001}, "dataset.validation: 0.001 of 120 samples selects none"),
    ],
)
def test_a_split_without_samples_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        plan(**settings)


def test_digest_depends_on_splits_and_source_arrays():
    plans = [plan(), plan(split_seed=1), plan(test=0.3), plan(validation=0.1), plan(n_test=30), plan(test="train")]
    assert len({made.digest() for made in plans}) == len(plans)
    assert plan().digest() == plan().digest()
    first = np.arange(3)
    digests = {SplitPlan(Part("train", first), None, Part(array, first), ()).digest() for array in ("train", "test")}
    assert len(digests) == 2


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
    assert fit_scaling("none", IRIS.info, None, TABLE) == Scaling("none")


def test_unit_divides_pixels_by_their_maximum():
    assert fit_scaling("auto", FASHION.info, FASHION.maximum, IMAGES) == Scaling("unit", scale=255.0)
    assert fit_scaling("unit", DATASETS["digits"].info, DATASETS["digits"].maximum, IMAGES).scale == 16.0


def test_unit_maps_table_features_to_0_1():
    values = scaled(TABLE, fit_scaling("unit", IRIS.info, None, TABLE))
    assert values.min(axis=0).tolist() == [0, 0, 0]
    assert values.max(axis=0).tolist() == [1, 0, 1]  # the constant feature stays at 0


def test_standard_equals_scikit_learns_scaler_on_tables():
    from sklearn.preprocessing import StandardScaler

    scaling = fit_scaling("auto", IRIS.info, None, TABLE)
    assert scaling.kind == "standard"
    reference = StandardScaler().fit(TABLE.astype(np.float64))
    np.testing.assert_allclose(scaling.shift, reference.mean_, rtol=1e-15)
    np.testing.assert_allclose(scaling.scale, reference.scale_, rtol=1e-15)
    assert scaling.scale[1] == 1.0


def test_standard_is_one_mean_and_one_deviation_over_all_pixels():
    scaling = fit_scaling("standard", FASHION.info, 255.0, IMAGES)
    assert scaling.shift == pytest.approx(IMAGES.mean(dtype=np.float64), rel=1e-14)
    assert scaling.scale == pytest.approx(IMAGES.astype(np.float64).std(), rel=1e-14)
    flat = IMAGES.reshape(len(IMAGES), -1)
    assert np.array_equal(scaled(IMAGES, scaling).reshape(flat.shape), scaled(flat, scaling))


def test_constant_pixels_are_divided_by_one():
    constant = np.full((3, 1, 2, 2), 9, np.uint8)
    assert fit_scaling("standard", FASHION.info, 255.0, constant).scale == 1.0
