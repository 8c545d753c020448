"""Learning-rate schedules, compared step by step with those of torch; and the batch order."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mlcli.config.schema import ConstantSchedule, CosineSchedule, OneCycleSchedule, StepSchedule
from mlcli.experiment.epoch_schedule import epoch_order, learning_rates

N_EPOCHS, N_STEPS, LR = 6, 11, 0.2


def whole_run(schedule):
    return np.concatenate(
        [
            learning_rates(schedule, LR, epoch=epoch, n_epochs=N_EPOCHS, n_steps=N_STEPS)
            for epoch in range(1, N_EPOCHS + 1)
        ]
    )


def by_torch(make, *, steps_per_update=1):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], LR)
    scheduler = make(optimizer)
    rates = []
    for step in range(N_EPOCHS * N_STEPS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % steps_per_update == 0:
            scheduler.step()
    return rates


def test_the_constant_schedule_keeps_the_learning_rate():
    np.testing.assert_array_equal(whole_run(ConstantSchedule()), LR)


def test_the_step_schedule_equals_that_of_torch():
    expected = by_torch(lambda o: torch.optim.lr_scheduler.StepLR(o, 2, 0.3), steps_per_update=N_STEPS)
    np.testing.assert_allclose(whole_run(StepSchedule(every_epochs=2, factor=0.3)), expected, rtol=1e-12)


def test_the_cosine_schedule_equals_that_of_torch():
    n_total = N_EPOCHS * N_STEPS
    expected = by_torch(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, n_total, 0.02))
    np.testing.assert_allclose(whole_run(CosineSchedule(final_fraction=0.1)), expected, rtol=1e-9)


def test_the_one_cycle_schedule_equals_that_of_torch():
    n_total = N_EPOCHS * N_STEPS
    expected = by_torch(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, LR, n_total, pct_start=0.4, div_factor=20, final_div_factor=50, cycle_momentum=False
        )
    )
    ours = whole_run(OneCycleSchedule(warmup_fraction=0.4, start_divisor=20, end_divisor=1000))
    np.testing.assert_allclose(ours, expected, rtol=1e-9)


def test_warm_up_rises_in_equal_steps_to_the_learning_rate_and_then_falls():
    rates = whole_run(CosineSchedule(warmup_epochs=2))
    n_warmup = 2 * N_STEPS
    np.testing.assert_allclose(rates[:n_warmup], LR * np.arange(1, n_warmup + 1) / n_warmup)
    assert rates[n_warmup] == LR
    assert (np.diff(rates[n_warmup:]) < 0).all()


@pytest.mark.parametrize("schedule", [CosineSchedule(), OneCycleSchedule(), CosineSchedule(warmup_epochs=9)])
def test_every_rate_is_positive_and_at_most_the_given_one(schedule):
    rates = whole_run(schedule)
    assert (rates > 0).all()
    assert rates.max() <= LR * (1 + 1e-12)


@pytest.mark.parametrize("schedule", [CosineSchedule(warmup_epochs=1), OneCycleSchedule()])
def test_a_single_step_is_possible(schedule):
    rates = learning_rates(schedule, LR, epoch=1, n_epochs=1, n_steps=1)
    assert rates.shape == (1,)
    assert math.isfinite(rates[0])
    assert rates[0] > 0


def test_an_epoch_has_every_sample_once():
    np.testing.assert_array_equal(np.sort(epoch_order(0, 1, 1000)), np.arange(1000))


def test_the_same_seed_and_epoch_give_the_same_order_and_others_do_not():
    np.testing.assert_array_equal(epoch_order(5, 2, 100), epoch_order(5, 2, 100))
    assert not np.array_equal(epoch_order(5, 2, 100), epoch_order(5, 3, 100))
    assert not np.array_equal(epoch_order(5, 2, 100), epoch_order(6, 2, 100))


def test_seed_and_epoch_are_not_interchangeable():
    assert not np.array_equal(epoch_order(1, 2, 100), epoch_order(2, 1, 100))
