from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlcli.config.schema import DatasetConfig
from mlcli.data.splits import Part, SplitPlan, SplitSource, plan_splits, stratified_fold, stratified_split
from mlcli.errors import UsageError
from mlcli.registry import DATASETS

IRIS = DATASETS["iris"].info
SORTED_LABELS = np.repeat(np.arange(3), 50)


def plan(n_test=0, n_validation=0, **settings):
    source = SplitSource(SORTED_LABELS, n_test, n_validation)
    return plan_splits(DatasetConfig(name="iris", **settings), IRIS, source)


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
    assert plan(n_test=40, limit=60).notes == (
        "the 60 training samples contain only 2 of 3 classes, none of 'virginica'",
    )


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


def test_validation_samples_of_the_source_are_used_unless_others_are_chosen():
    made = plan(n_validation=20)
    assert (made.validation.array, len(made.validation.indices)) == ("validation", 20)
    assert made.notes == ()
    chosen = plan(n_validation=20, validation=0.1)
    assert chosen.validation.array == "train"
    assert chosen.notes == ("the 20 validation samples of the dataset are not used",)


@given(
    counts=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(lambda counts: sum(counts) > 6),
    n_folds=st.integers(2, 7),
    seed=st.integers(0, 2**32),
)
def test_folds_are_disjoint_and_differ_by_one_sample_at_most(counts, n_folds, seed):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    folds = [stratified_fold(y, n_folds, fold, seed) for fold in range(n_folds)]
    assert sorted(index for _, picked in folds for index in picked) == list(range(len(y)))
    assert all(sorted([*rest, *picked]) == list(range(len(y))) for rest, picked in folds)
    assert np.ptp([len(picked) for _, picked in folds]) <= 1
    by_class = [np.bincount(y[picked], minlength=len(counts)) for _, picked in folds]
    assert (np.ptp(by_class, axis=0) <= 1).all()


def test_a_fold_is_the_test_split():
    made = plan(n_test=40, folds=5, fold=3)
    assert np.bincount(SORTED_LABELS[made.test.indices]).tolist() == [10, 10, 10]
    assert not set(made.train.indices) & set(made.test.indices)
    assert made.notes == (
        "the test split is taken from the training data; the 40 test samples of the dataset are not used",
    )
    assert plan(folds=5, fold=3, split_seed=1).digest() != plan(folds=5, fold=3).digest()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fold": 1}, "set folds"),
        ({"folds": 3, "fold": 3}, "fold 3 of 3 folds does not exist"),
        ({"folds": 3, "test": 0.2}, "remove one of them"),
    ],
)
def test_folds_that_do_not_exist_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        plan(**settings)


def test_more_folds_than_samples_are_refused():
    with pytest.raises(UsageError, match="151 folds of 150 samples"):
        plan(folds=151)
