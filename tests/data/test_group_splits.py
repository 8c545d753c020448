from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from mlcli.data.group_splits import dealt_groups, picked_groups
from mlcli.errors import UsageError


def generator(seed=0):
    return np.random.Generator(np.random.PCG64(seed))


def labels_of(groups, n_classes, seed=0):
    """Classes whose proportions differ between the groups."""
    random = generator(seed)
    proportions = random.dirichlet(np.ones(n_classes), groups.max() + 1)
    return np.array([random.choice(n_classes, p=proportions[group]) for group in groups])


@given(
    groups=st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(lambda groups: len(set(groups)) > 1),
    n_classes=st.integers(1, 4),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32),
)
def test_no_group_is_on_both_sides_and_no_side_is_empty(groups, n_classes, fraction, seed):
    groups = np.array(groups)
    y = generator(seed).integers(n_classes, size=len(groups))
    is_picked = picked_groups(fraction, y, groups, generator(seed))
    assert not set(groups[is_picked]) & set(groups[~is_picked])
    assert 0 < is_picked.sum() < len(groups)


@given(
    groups=st.lists(st.integers(0, 30), min_size=40, max_size=120).filter(lambda groups: len(set(groups)) > 7),
    n_folds=st.integers(2, 7),
    seed=st.integers(0, 2**32),
)
def test_every_fold_has_whole_groups_and_at_least_one(groups, n_folds, seed):
    groups = np.array(groups)
    y = generator(seed).integers(3, size=len(groups))
    parts = dealt_groups(y, groups, np.full(n_folds, 1 / n_folds), generator(seed))
    assert all(len(set(parts[groups == group])) == 1 for group in groups)
    assert set(parts) == set(range(n_folds))


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_size_and_class_proportions_are_those_that_were_asked_for(fraction):
    groups = generator().geometric(0.02, 5000)  # some groups have a hundred samples, most a few
    y = labels_of(groups, 4)
    is_picked = picked_groups(fraction, y, groups, generator())
    proportions = np.bincount(y[is_picked]) / np.bincount(y)
    np.testing.assert_allclose(proportions, fraction, atol=0.01)


def test_folds_are_at_least_as_balanced_as_those_of_scikit_learn():
    groups = generator().geometric(0.05, 2000)
    y = labels_of(groups, 3)
    parts = dealt_groups(y, groups, np.full(5, 0.2), generator())
    theirs = np.empty(len(y), dtype=int)
    for number, (_, picked) in enumerate(StratifiedGroupKFold(5).split(groups, y, groups)):
        theirs[picked] = number
    imbalance = [
        max(np.ptp([(y[found == part] == label).sum() for part in range(5)]) for label in range(3))
        for found in (parts, theirs)
    ]
    assert imbalance[0] <= 1.5 * imbalance[1]


def test_a_class_whose_groups_are_few_is_on_both_sides():
    groups = np.repeat(np.arange(100), 10)
    y = np.where(groups < 5, 1, 0)  # all of it in five groups
    is_picked = picked_groups(0.2, y, groups, generator())
    assert len(set(groups[is_picked & (y == 1)])) == 1


def test_the_seed_decides_which_groups_are_picked():
    groups = np.repeat(np.arange(50), generator().integers(5, 30, 50))
    y = labels_of(groups, 2)
    first, again, other = (picked_groups(0.2, y, groups, generator(seed)).tolist() for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_one_group_cannot_be_split():
    with pytest.raises(UsageError, match="all samples are of one group"):
        picked_groups(0.2, np.array([0, 1, 0]), np.array([7, 7, 7]), generator())
