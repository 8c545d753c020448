"""The draws of a matrix: seeds, and with --folds the folds of every repeat, each with its own seed."""

from __future__ import annotations

import pytest

from mlcli.compare.draws import draw_of, folds_of, with_draw, without_draw
from mlcli.config.experiment import load_experiment
from mlcli.errors import UsageError


@pytest.fixture
def config():
    settings = ["dataset=iris", "dataset.folds=3", "dataset.split_seed=7", "seed=20"]
    return load_experiment(None, settings=settings, environ={})


def test_every_fold_of_every_repeat_has_its_own_seed(config):
    assert folds_of(3, 2, "1", config) == [(7, 0, 20), (7, 1, 21), (7, 2, 22), (8, 0, 23), (8, 1, 24), (8, 2, 25)]
    assert str(folds_of(3, 2, "1", config)[4]) == "fold 1 of split seed 8, seed 24"


def test_more_repeats_and_more_seeds_leave_the_others_as_they_are(config):
    few = folds_of(3, 1, "1", config)
    more = folds_of(3, 2, "2", config)
    assert set(few) < set(more)
    assert len({draw.seed for draw in more}) == len(more) == 12


def test_a_draw_of_a_configuration_is_taken_out_and_put_back(config):
    draws = folds_of(3, 2, "1", config)
    assert [draw_of(with_draw(config, draw)) for draw in draws] == draws
    assert len({without_draw(with_draw(config, draw)) for draw in draws}) == 1


@pytest.mark.parametrize(
    ("n_folds", "n_repeats", "seeds", "message"),
    [
        (5, 1, "0,1", "every fold has its own seeds"),
        (5, 1, "0", "expected a number of seeds"),
        (1_000, 11, "1", "at most 10,000 runs"),
    ],
)
def test_a_list_of_seeds_and_too_many_runs_are_refused(config, n_folds, n_repeats, seeds, message):
    with pytest.raises(UsageError, match=message):
        folds_of(n_folds, n_repeats, seeds, config)


def test_seeds_beyond_the_largest_are_refused(config):
    with pytest.raises(UsageError, match="exceed"):
        folds_of(5, 1, "1", config.model_copy(update={"seed": 2**32 - 2}))
