"""The metrics accept any scores or raise a DataError, without other errors or warnings. They need not be finite."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mlcli.errors import DataError
from mlcli.evaluate.plots import overfitting
from mlcli.metrics.by_class import class_scores, confusion_matrix, macro_average
from mlcli.metrics.scores import calibration, confident_mistakes, full_score
from mlcli.records import EpochRecord, Scores

QUICK = settings(max_examples=150, deadline=None, derandomize=True, database=None)
LABELS = st.one_of(st.integers(0, 3), st.integers(-(2**63), 2**63 - 1))
VALUES = st.one_of(
    st.floats(width=32, allow_subnormal=False), st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf, 3e38, -3e38])
)


def matrices(n_samples):
    odd_shapes = st.tuples(st.integers(0, 5), st.integers(0, 4)) | st.just((n_samples,))
    shapes = st.sampled_from([True, True, True, False]).flatmap(
        lambda fits: st.tuples(st.just(n_samples), st.integers(2, 4)) if fits else odd_shapes
    )
    return st.none() | shapes.flatmap(lambda shape: arrays.arrays(np.float32, shape, elements=VALUES))


@st.composite
def scored(draw):
    n_samples = draw(st.integers(0, 5))
    labels = draw(st.sampled_from([st.integers(0, 1), st.integers(0, 1), LABELS]))
    vectors = st.sampled_from([n_samples] * 5 + [3]).flatmap(lambda n: arrays.arrays(np.int64, n, elements=labels))
    return Scores(draw(vectors), draw(matrices(n_samples)), draw(matrices(n_samples))), draw(vectors)


@QUICK
@given(case=scored(), n_classes=st.integers(1, 4))
def test_every_metric_returns_a_value_or_raises_a_data_error(case, n_classes):
    scores, y = case
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = full_score(scores, y, largest_class=1)
        except DataError:
            for metric in (calibration, lambda s, t: confident_mistakes(s, t, 3)):
                with pytest.raises(DataError):
                    metric(scores, y)
        else:
            assert 0 <= found.accuracy <= 1
            assert found.n_samples == len(y)
            assert (found.loss is None) == (scores.logits is None and scores.probabilities is None)
            assert (found.brier_score is None) == ("brier_score" in found.undefined)
            assert all(0 <= getattr(found, name) <= 1 for name in ("balanced_accuracy", "macro_f1"))
            assert all(0 <= getattr(found, name) <= 1 for name in ("roc_auc", "pr_auc") if name not in found.undefined)
            assert (calibration(scores, y) is None) == (scores.probabilities is None)
            assert len(confident_mistakes(scores, y, 3)) <= 3
        try:
            matrix = confusion_matrix(scores.labels, y, n_classes)
        except DataError:
            return
        macro = macro_average(class_scores(matrix, [str(index) for index in range(n_classes)]))
        assert macro.n_samples == len(y) == matrix.sum()


LOSSES = st.none() | st.floats(allow_subnormal=False)


@QUICK
@given(losses=st.lists(st.tuples(LOSSES, LOSSES), max_size=6))
def test_overfitting_accepts_any_history(losses):
    history = [
        EpochRecord(epoch, None, train, None, validation, None, 1.0, 1.0, False)
        for epoch, (train, validation) in enumerate(losses, 1)
    ]
    found = overfitting(history)
    assert (found is None) == all(validation is None for _, validation in losses)
    if found:
        assert 1 <= found.best_epoch <= len(history)


def test_scores_that_a_model_can_produce_are_never_refused():
    logits = np.array([[np.inf, 0], [np.nan, 1], [1, -np.inf]], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = full_score(Scores(np.array([0, 1, 0]), logits, None), np.array([0, 1, 1]))
    assert found.accuracy == 2 / 3
    assert found.loss is not None
    assert not math.isfinite(found.loss)
