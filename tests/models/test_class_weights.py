"""The weights of classes are those of scikit-learn, and the note about them is text."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from mlcli.models.class_weights import balanced_class_weights, class_weights_note


def test_balanced_weights_are_those_of_scikit_learn_and_have_the_mean_one():
    y = np.repeat([0, 1, 2], [70, 25, 5])
    weights = balanced_class_weights(y, 3)
    assert weights == pytest.approx(compute_class_weight("balanced", classes=np.arange(3), y=y).tolist(), abs=1e-15)
    assert np.array(weights)[y].mean() == pytest.approx(1, abs=1e-15)


def test_classes_without_samples_do_not_count():
    weights = balanced_class_weights(np.repeat([1, 3], [30, 10]), 4)
    assert weights == pytest.approx((0.0, 40 / 60, 0.0, 40 / 20))


def test_the_note_names_the_most_frequent_and_the_rarest_class():
    note = class_weights_note((0.0, 2 / 3, 2.0), ("absent", "frequent", "rare"))
    assert note.startswith("training weighs classes, from 0.667 (frequent) to 2 (rare)")
    assert "not weighted" in note
