"""The order of mistakes."""

from __future__ import annotations

import numpy as np

from mlcli.metrics.scores import confident_mistakes
from mlcli.records import Scores

PROBABILITIES = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.9, 0.1], [0.1, 0.9]], dtype=np.float32)
Y = np.array([1, 0, 1, 1, 1])


def test_the_most_confident_come_first_and_ties_keep_their_order():
    mistakes = confident_mistakes(Scores(PROBABILITIES.argmax(1), None, PROBABILITIES), Y, 10)
    assert [mistake.index for mistake in mistakes] == [0, 3, 1, 2]
    assert (mistakes[2].true, mistakes[2].predicted) == (0, 1)
    assert mistakes[2].probability == float(np.float32(0.8))


def test_at_most_n_are_returned():
    scores = Scores(PROBABILITIES.argmax(1), None, PROBABILITIES)
    assert [mistake.index for mistake in confident_mistakes(scores, Y, 2)] == [0, 3]
    assert confident_mistakes(scores, Y, 0) == ()


def test_without_probabilities_they_are_ordered_by_index():
    mistakes = confident_mistakes(Scores(PROBABILITIES.argmax(1), None, None), Y, 3)
    assert [(mistake.index, mistake.probability) for mistake in mistakes] == [(0, None), (1, None), (2, None)]
