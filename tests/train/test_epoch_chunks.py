"""A pass in parts: how long they are, and what they leave."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.errors import DivergedError
from mlcli.records import StepResults
from mlcli.timing import Stopwatch
from mlcli.train.epoch_chunks import PartLength, TrainingPass


def lengths(length, n_steps, seconds_per_step, step=0):
    """Of the parts of a pass of n_steps, where every step takes so long."""
    taken = []
    while sum(taken) < n_steps:
        n = length.next(step + sum(taken), n_steps - sum(taken))
        length.took(n, n * seconds_per_step)
        taken.append(n)
    return taken


def test_the_first_part_is_a_step_and_the_others_grow_towards_their_time():
    taken = lengths(PartLength(1.0), 5000, seconds_per_step=0.001)
    assert taken[:4] == [1, 8, 64, 512]
    assert max(taken) <= 1500
    assert sum(taken) == 5000


def test_a_quick_pass_is_one_part_once_its_speed_is_known():
    length = PartLength(1.0)
    lengths(length, 400, seconds_per_step=0.001)
    assert lengths(length, 400, seconds_per_step=0.001) == [400]


def test_parts_shrink_when_the_machine_becomes_slow():
    length = PartLength(1.0)
    lengths(length, 5000, seconds_per_step=0.001)
    assert lengths(length, 3000, seconds_per_step=0.5)[1] <= 2


def test_parts_end_at_the_steps_asked_for_counted_over_the_run():
    taken = lengths(PartLength(1.0, every_steps=50), 120, seconds_per_step=1e-6, step=30)
    ends = np.cumsum(taken) + 30
    assert {50, 100, 150} <= set(ends.tolist())


class Steps:
    """An engine that only counts; the loss of step k (from 0) is k, or what `bad` says."""

    def __init__(self, bad=None) -> None:
        self.bad = bad or {}
        self.seen: list[int] = []

    def train_steps(self, order, learning_rates):
        steps = [int(start) // 10 for start in order[::10]]
        self.seen += order.tolist()
        losses = np.array([self.bad.get(step, float(step)) for step in steps])
        return StepResults(losses, np.full(len(steps), 10), n_correct=len(order))


def a_pass(**done):
    return TrainingPass(2, np.arange(95), np.full(10, 0.1), 10, **done)


def test_parts_make_up_the_pass():
    engine, under_way = Steps(), a_pass()
    ends = list(under_way.run(engine, Stopwatch(), PartLength(1e-9), step=10))
    assert ends[-1] == 10
    assert len(ends) > 1
    assert engine.seen == list(range(95))
    result = under_way.result
    assert result.batch_sizes.tolist() == [10] * 9 + [5]
    assert result.loss == pytest.approx((sum(10 * k for k in range(9)) + 5 * 9) / 95)
    assert result.accuracy == 1.0


def test_a_pass_goes_on_where_it_was():
    engine = Steps()
    under_way = a_pass(batch_losses=np.arange(4.0), n_correct=40, seconds=2.0)
    list(under_way.run(engine, Stopwatch(), PartLength(1.0), step=10))
    assert engine.seen == list(range(40, 95))
    assert under_way.result.accuracy == 1.0
    assert under_way.seconds >= 2.0


@pytest.mark.parametrize("loss", [np.nan, np.inf])
def test_a_loss_that_is_not_finite_ends_the_pass_with_its_step(loss):
    under_way = a_pass()
    with pytest.raises(DivergedError, match=f"became {loss} in step 7 of epoch 2"):
        list(under_way.run(Steps({6: loss}), Stopwatch(), PartLength(1.0), step=10))
    assert np.isfinite(under_way.batch_losses).all()
    assert len(under_way.batch_losses) <= 6
