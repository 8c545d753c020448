"""The epoch at which overfitting begins."""

from __future__ import annotations

import pytest

from mlcli.evaluate.plots import draw_learning_curves, overfitting
from mlcli.records import EpochRecord


def history(train, validation):
    return [
        EpochRecord(epoch, 0.1, loss, 0.5, other, 0.5, 1.0, 1.0, False)
        for epoch, (loss, other) in enumerate(zip(train, validation, strict=True), start=1)
    ]


def test_overfitting_begins_after_the_lowest_validation_loss():
    finding = overfitting(history([1.0, 0.5, 0.3, 0.2], [1.0, 0.6, 0.7, 0.9]))
    assert (finding.best_epoch, finding.first_epoch) == (2, 3)
    assert finding.rise == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("train", "validation", "best_epoch"),
    [
        ([1.0, 0.5, 0.3], [1.0, 0.6, 0.5], 3),  # still falling
        ([1.0, 0.5, 0.3], [1.0, 0.600, 0.62], 2),  # within noise
        ([1.0, 0.5, 0.7], [1.0, 0.6, 0.9], 2),  # both rise: training fails, which is not overfitting
    ],
)
def test_other_histories_show_no_overfitting(train, validation, best_epoch):
    finding = overfitting(history(train, validation))
    assert (finding.best_epoch, finding.first_epoch) == (best_epoch, None)


@pytest.mark.parametrize(
    ("train", "validation", "grew"),
    [
        ([1.0, 0.6, 0.2], [1.0, 0.8, 0.79], "grew by 75% of it"),  # the validation loss still falls
        ([1.0, 0.6, 0.58], [1.0, 0.62, 0.6], None),
    ],
)
def test_a_growing_gap_is_stated_and_nothing_is_called_free_of_overfitting(digits, train, validation, grew):
    title = draw_learning_curves(history(train, validation), digits).get_suptitle()
    assert "lowest validation loss: epoch 3" in title
    assert (grew in title) if grew else ("grew" not in title)
    assert "no overfitting" not in title


def test_without_validation_there_is_no_finding():
    assert overfitting(history([1.0, 0.5], [None, None])) is None
