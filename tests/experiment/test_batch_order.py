"""The order of an epoch depends on the seed and the epoch alone."""

from __future__ import annotations

import numpy as np

from mlcli.experiment.epoch_schedule import epoch_order


def test_every_sample_once():
    np.testing.assert_array_equal(np.sort(epoch_order(0, 1, 1000)), np.arange(1000))


def test_the_same_seed_and_epoch_give_the_same_order_and_others_do_not():
    np.testing.assert_array_equal(epoch_order(5, 2, 100), epoch_order(5, 2, 100))
    assert not np.array_equal(epoch_order(5, 2, 100), epoch_order(5, 3, 100))
    assert not np.array_equal(epoch_order(5, 2, 100), epoch_order(6, 2, 100))


def test_an_order_is_not_the_initial_weights_stream_in_disguise():
    """Seed 1, epoch 2 and seed 2, epoch 1 are different orders too."""
    assert not np.array_equal(epoch_order(1, 2, 100), epoch_order(2, 1, 100))
