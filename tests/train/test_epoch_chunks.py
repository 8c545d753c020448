"""An epoch in chunks: how long they are, and what they add up to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlcli.errors import DivergedError
from mlcli.records import StepResults
from mlcli.timing import Stopwatch
from mlcli.train.epoch_chunks import ChunkLength, EpochChunks


def lengths(length, n_steps, seconds_per_step, step=0):
    """The chunks of an epoch of n_steps, each of which takes seconds_per_step."""
    taken = []
    while sum(taken) < n_steps:
        n = length.next(step + sum(taken), n_steps - sum(taken))
        length.adapt(n, n * seconds_per_step)
        taken.append(n)
    return taken


def test_the_first_chunk_is_a_step_and_later_ones_grow_towards_their_duration():
    taken = lengths(ChunkLength(1.0), 5000, seconds_per_step=0.001)
    assert taken[:4] == [1, 8, 64, 512]
    assert max(taken) <= 1500
    assert sum(taken) == 5000


def test_a_fast_epoch_is_one_chunk_once_its_speed_is_known():
    length = ChunkLength(1.0)
    lengths(length, 400, seconds_per_step=0.001)
    assert lengths(length, 400, seconds_per_step=0.001) == [400]


def test_chunks_shrink_when_the_machine_becomes_slow():
    length = ChunkLength(1.0)
    lengths(length, 5000, seconds_per_step=0.001)
    assert lengths(length, 3000, seconds_per_step=0.5)[1] <= 2


def test_chunks_end_at_multiples_of_the_given_steps_counted_over_the_run():
    taken = lengths(ChunkLength(1.0, every_steps=50), 120, seconds_per_step=1e-6, step=30)
    ends = np.cumsum(taken) + 30
    assert {50, 100, 150} <= set(ends.tolist())


class Steps:
    """An engine that only counts; the loss of step k (from 0) is k, or what `bad` gives for it."""

    def __init__(self, bad=None):
        self.bad = bad or {}
        self.seen = []

    def train_steps(self, order, learning_rates):
        steps = [int(start) // 10 for start in order[::10]]
        self.seen += order.tolist()
        losses = np.array([self.bad.get(step, float(step)) for step in steps])
        return StepResults(losses, np.full(len(steps), 10), n_correct=len(order))


def an_epoch():
    return EpochChunks(2, np.arange(95), np.full(10, 0.1), 10)


def test_chunks_add_up_to_the_epoch():
    engine, epoch = Steps(), an_epoch()
    for n_steps in (1, 4, 3, 2):
        epoch.train(engine, Stopwatch(), n_steps)
    assert epoch.n_done == epoch.n_steps == 10
    assert engine.seen == list(range(95))
    result = epoch.result
    assert result.batch_sizes.tolist() == [10] * 9 + [5]
    assert result.loss == pytest.approx((sum(10 * k for k in range(9)) + 5 * 9) / 95)
    assert result.accuracy == 1.0


def test_an_epoch_continues_after_the_steps_of_a_checkpoint(make_checkpoint):
    engine, epoch = Steps(), an_epoch()
    checkpoint = make_checkpoint()
    position = replace(checkpoint.position, n_correct=40, pass_seconds=2.0)
    epoch.restore(replace(checkpoint, batch_losses=np.arange(4.0), position=position))
    epoch.train(engine, Stopwatch(), 6)
    assert engine.seen == list(range(40, 95))
    assert epoch.result.accuracy == 1.0
    assert epoch.seconds >= 2.0


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_is_reported_with_its_step_and_not_kept(loss):
    epoch = an_epoch()
    epoch.train(Steps(), Stopwatch(), 4)
    with pytest.raises(DivergedError, match=f"became {loss} in step 7 of epoch 2"):
        epoch.train(Steps({6: loss}), Stopwatch(), 5)
    assert epoch.batch_losses.tolist() == [0, 1, 2, 3]
