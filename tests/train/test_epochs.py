"""Training an epoch in chunks."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.errors import DivergedError
from mlcli.records import StepResults
from mlcli.timing import Stopwatch
from mlcli.train.epochs import EpochChunks


class Steps:
    """An engine that only counts steps. The loss of step k (from 0) is k, or the value in `bad`."""

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
    losses = []
    for n_steps in (1, 4, 3, 2):
        epoch.train(engine, Stopwatch(), n_steps)
        losses.append(epoch.result.loss)
    assert losses[:3] == [0, 2, 3.5]  # means over 1, 5 and 8 steps
    assert epoch.n_left == 0
    assert engine.seen == list(range(95))
    result = epoch.result
    assert result.batch_sizes.tolist() == [10] * 9 + [5]
    assert result.loss == pytest.approx((sum(10 * k for k in range(9)) + 5 * 9) / 95)
    assert result.accuracy == 1.0


def test_an_epoch_continues_after_the_steps_that_it_has():
    engine, epoch = Steps(), an_epoch()
    epoch.batch_losses, epoch.n_correct, epoch.seconds = np.arange(4.0), 40, 2.0
    assert epoch.n_left == 6
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
