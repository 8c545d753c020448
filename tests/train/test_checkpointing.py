"""The intervals of checkpoints, and the lengths of the chunks of an epoch."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.errors import DivergedError, UsageError
from mlcli.records import EngineState, EpochRecord
from mlcli.runs.checkpoint import Checkpoint, Position, RunSoFar
from mlcli.train import checkpointing
from mlcli.train.checkpointing import AUTO, Checkpointer, CheckpointEvery, ChunkLength, parse_checkpoint_every

EPOCH = EpochRecord(1, 0.1, 0.3, 0.9, None, None, 1.0, 7.0, True)


@pytest.mark.parametrize(
    ("text", "unit", "n"),
    [
        ("500steps", "steps", 500),
        ("1 step", "steps", 1),
        ("60s", "seconds", 60),
        ("10min", "seconds", 600),
        ("2h", "seconds", 7200),
        ("1epoch", "epochs", 1),
        ("3epochs", "epochs", 3),
        ("auto", "auto", 1),
        ("never", "never", 1),
    ],
)
def test_an_interval_is_read(text, unit, n):
    assert parse_checkpoint_every(text) == CheckpointEvery(unit, n)


@pytest.mark.parametrize("text", ["", "500", "0s", "-1s", "1.5epochs", "often", "5 parsecs", "1e3steps", "٣steps"])
def test_any_other_text_is_refused_with_the_possible_ones(text):
    with pytest.raises(UsageError, match="500steps, 1epoch, 60s; or auto, or never"):
        parse_checkpoint_every(text)


class Folder:
    """A checkpoint folder that only counts writes, each of which takes cost_seconds."""

    def __init__(self, clock):
        self.clock, self.steps, self.cost_seconds = clock, [], 0.0

    def write(self, checkpoint):
        self.steps.append(checkpoint.position.step)
        self.clock.now += self.cost_seconds


class Clock:
    now = 0.0

    def perf_counter(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(checkpointing, "time", clock)
    return clock


class Run:
    """A run whose steps take a second each, ten per epoch."""

    def __init__(self, every, clock, cost_seconds=0.0, weights=(1.0, 2.0)):
        self.clock, self.folder, self.position = clock, Folder(clock), Position()
        self.folder.cost_seconds, self.weights = cost_seconds, np.array(weights)
        self.checkpointer = Checkpointer(self.folder, parse_checkpoint_every(every), self.make)

    def make(self):
        run = RunSoFar("", {}, 0.0, (), {}, "cpu")
        return Checkpoint(self.position, np.empty(0), {"1.bias": self.weights}, EngineState(), None, run)

    def steps(self, n):
        for step in range(1, n + 1):
            self.clock.now += 1.0
            is_end = step % 10 == 0
            history = (*self.position.history, EPOCH) if is_end else self.position.history
            self.position = Position(step=step, history=history)
            self.checkpointer.write_if_due(self.position, at_epoch_end=is_end)
        return self.folder.steps


def test_intervals_of_steps_epochs_and_seconds(clock):
    assert Run("4steps", clock).steps(13) == [4, 8, 12]
    assert Run("2epochs", clock).steps(45) == [20, 40]
    assert Run("15s", clock).steps(35) == [15, 30]
    assert Run("never", clock).steps(100) == []


def test_auto_writes_at_ends_of_epochs_while_that_costs_little(clock):
    assert Run("auto", clock).steps(30) == [10, 20, 30]
    assert Run("auto", clock, cost_seconds=0.05).steps(35) == [10, 20, 30]


def test_auto_never_costs_more_than_one_percent(clock):
    taken = Run("auto", clock, cost_seconds=1.0).steps(1000)
    assert 5 <= len(taken) <= 10


def test_auto_writes_every_minute_within_long_epochs(clock):
    run = Run("auto", clock)
    for step in range(1, 200):
        clock.now += 1.0
        run.position = Position(step=step)
        run.checkpointer.write_if_due(run.position, at_epoch_end=False)
    assert run.folder.steps == [60, 120, 180]


def test_the_same_position_is_written_once(clock):
    run = Run("never", clock)
    run.steps(3)
    run.checkpointer.write(run.position)
    run.checkpointer.write(run.position)
    assert run.folder.steps == [3]


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_never_written(clock, value):
    run = Run("1steps", clock, weights=(1.0, value))
    with pytest.raises(DivergedError, match=r"weight 1\.bias is no longer finite after step 1"):
        run.steps(1)
    assert run.folder.steps == []


def lengths(length, n_steps, seconds_per_step, step=0):
    """Return the lengths of the chunks of an epoch of n_steps steps that take seconds_per_step each."""
    taken = []
    while sum(taken) < n_steps:
        n = length.next(step + sum(taken), n_steps - sum(taken))
        length.adapt(n, n * seconds_per_step)
        taken.append(n)
    return taken


def test_the_first_chunk_is_a_step_and_later_ones_grow_towards_their_duration():
    taken = lengths(ChunkLength(AUTO), 5000, seconds_per_step=0.001)
    assert taken[:4] == [1, 8, 64, 500]
    assert max(taken) <= 750
    assert sum(taken) == 5000


def test_a_fast_epoch_is_one_chunk_once_its_speed_is_known():
    length = ChunkLength(AUTO)
    lengths(length, 400, seconds_per_step=0.0005)
    assert lengths(length, 400, seconds_per_step=0.0005) == [400]


def test_chunks_shrink_when_the_machine_becomes_slow():
    length = ChunkLength(AUTO)
    lengths(length, 5000, seconds_per_step=0.001)
    assert lengths(length, 3000, seconds_per_step=0.5)[1] <= 2


def test_chunks_end_at_multiples_of_the_given_steps_counted_over_the_run():
    taken = lengths(ChunkLength(CheckpointEvery("steps", 50)), 120, seconds_per_step=1e-6, step=30)
    ends = np.cumsum(taken) + 30
    assert {50, 100, 150} <= set(ends.tolist())
