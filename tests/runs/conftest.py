"""A checkpoint to write and read."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.records import EngineState, EpochRecord, Metrics
from mlcli.runs.checkpoint import Checkpoint, Position, RunSoFar

EPOCH = EpochRecord(1, 0.1, 0.1 + 0.2, 0.9, None, None, 1 / 3, 7.0, True)
RUN = RunSoFar("2026-01-01T00:00:00.000+00:00", {"load": 0.1}, 1 / 7, ("a note",), {"config": "ab"}, "cpu")


def a_checkpoint(step=3, *, best=True, **arrays):
    weights = {"1.weight": np.arange(6, dtype=np.float32).reshape(3, 2).T / 7, "1.bias": np.array([0.1, -0.0])}
    position = Position(
        step=step,
        history=(EPOCH,),
        n_correct=2,
        pass_seconds=0.7,
        metrics={"train": Metrics(0.9, 0.1 + 0.2, 10)},
        best_epoch=1,
        best_value=0.1 + 0.2,
        best_metrics={"train": Metrics(0.9, None, 10)},
    )
    state = {"step": np.array(3.0, dtype=np.float32), "rng": np.arange(5, dtype=np.uint8)} | arrays
    engine = EngineState(state, {"learning_rate": 0.1, "t": 3})
    return Checkpoint(position, np.array([0.5, 1 / 3]), weights, engine, weights if best else None, RUN)


@pytest.fixture
def make_checkpoint():
    """Arrays in either order, of several types and of no axis; the step can be chosen."""
    return a_checkpoint
