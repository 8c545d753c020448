"""An engine as it is measured: rotation, memory, losses. The engine is a fake whose clock is written down."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.batch_bench.measurement import MeasuredEngine, Placed
from mlcli.batch_bench.messages import Visit
from mlcli.metrics import log_loss
from mlcli.records import Scores

N = 1000
BLOCK_SECONDS = {"forward": 0.002, "train": 0.01}


class OutOfMemoryError(RuntimeError):
    """What torch raises on a GPU is known by this name."""


class FakeBench:
    """A training step takes twice as long as a forward pass, a sample 0.1 ms. Batches of too_large do not fit."""

    def __init__(self, error: Exception | None = None, too_large: int = 0) -> None:
        self.now = 0.0
        self.pace = 1.0  # of the machine: 2.0 is half as fast
        self.device = "cpu"
        self.block_seconds = BLOCK_SECONDS
        self.error, self.too_large = error, too_large
        self.n_held = N
        self.tiled: list[int] = []
        self.starts: list[int] = []
        self.learning_rates: set[float] = set()
        self.n_released = 0

    def tile(self, n_samples):
        self.tiled.append(n_samples)
        self.n_held = n_samples

    def batches(self, starts, batch_size):
        assert max(starts) + batch_size <= self.n_held
        self.starts += starts
        self.now += 100.0  # cutting is not part of what is measured
        return [batch_size] * len(starts)

    def _compute(self, batches, seconds):
        if self.error is not None and batches[0] == self.too_large:
            raise self.error
        self.now += sum(batches) * seconds * self.pace

    def forward(self, batches):
        self._compute(batches, 1e-4)

    def train(self, batches, learning_rate):
        self.learning_rates.add(learning_rate)
        self._compute(batches, 2e-4)

    def matrix_product(self, n):
        def multiply():
            self.now += 1e-9 * n**2.5 * self.pace

        return multiply

    def start_memory_watch(self):
        pass

    def peak_memory_bytes(self):
        return 12345

    def release_memory(self):
        self.n_released += 1


LOGITS = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
Y = np.arange(N) % 3
SCORES = Scores(LOGITS.argmax(1), LOGITS, None)


def measured(bench: FakeBench) -> MeasuredEngine:
    placed = Placed(bench, N, "abc", is_iterative=True, score=lambda: SCORES, y=Y)
    return MeasuredEngine(placed, clock=lambda: bench.now)


def visit(engine: MeasuredEngine, batch_size: int, phase="forward", seconds=0.05):
    return engine.visit(Visit(phase, batch_size, seconds, None, warmup_seconds=0.02))


def test_what_is_timed_is_the_engine_alone():
    for phase, seconds in (("forward", 1e-3), ("train", 2e-3)):
        found = visit(measured(FakeBench()), 10, phase)
        assert found.samples == pytest.approx([seconds] * len(found.samples))
        assert found.first_call_seconds == pytest.approx(seconds)
        assert found.calls_per_sample * seconds >= BLOCK_SECONDS[phase]
        assert found.peak_memory_bytes == 12345


def test_batches_rotate_through_all_the_data_and_over_again():
    bench = FakeBench()
    engine = measured(bench)
    for _ in range(3):
        visit(engine, 300, seconds=0.2)
    assert bench.starts[:7] == [0, 300, 600, 0, 300, 600, 0]
    assert all(after == (before + 300) % 900 for before, after in zip(bench.starts, bench.starts[1:], strict=False))


def test_training_moves_no_weight_by_anything_that_shows():
    bench = FakeBench()
    visit(measured(bench), 10, "train")
    assert all(0 < rate < 1e-8 for rate in bench.learning_rates)


def test_each_sample_comes_with_a_reference_that_tells_how_fast_the_machine_was():
    bench = FakeBench()
    engine = measured(bench)
    usual = visit(engine, 10)
    bench.pace = 1.5
    slow = visit(engine, 10)
    for found in (usual, slow):
        assert len(found.references) == len(found.samples)
    assert len(set(np.round(usual.references, 9))) == 1
    assert slow.references == pytest.approx([1.5 * usual.references[0]] * len(slow.samples))


def test_the_first_call_and_the_loss_come_once():
    engine = measured(FakeBench())
    first, second = visit(engine, 100), visit(engine, 100)
    assert first.loss == pytest.approx(log_loss(Scores(SCORES.labels[:100], LOGITS[:100], None), Y[:100]))
    assert (second.loss, second.first_call_seconds) == (None, None)
    assert second.warmup_seconds < first.warmup_seconds


def test_the_loss_of_a_tiled_batch_counts_repeated_samples_again():
    repeated = np.concatenate([LOGITS, LOGITS, LOGITS[:500]])
    expected = log_loss(Scores(repeated.argmax(1), repeated, None), np.concatenate([Y, Y, Y[:500]]))
    bench = FakeBench()
    assert visit(measured(bench), 2500).loss == pytest.approx(expected)
    assert bench.tiled == [2500]


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 9 GiB"),
        OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=["numpy", "torch on a GPU", "torch on the CPU"],
)
def test_a_size_that_does_not_fit_says_so_frees_the_memory_and_leaves_the_others_alone(error):
    bench = FakeBench(error, too_large=2000)
    engine = measured(bench)
    assert visit(engine, 10).out_of_memory is None
    failed = visit(engine, 2000)
    assert "out of memory" in failed.out_of_memory
    assert str(error) in failed.out_of_memory
    assert failed.samples == ()
    assert bench.n_released == 1
    assert bench.tiled == [2000, N]  # the samples repeated for it are dropped again
    for size in (10, 100):
        found = visit(engine, size)
        assert found.samples == pytest.approx([size * 1e-4] * len(found.samples))


def test_other_errors_are_no_row():
    with pytest.raises(RuntimeError, match="not a matter of memory"):
        visit(measured(FakeBench(RuntimeError("not a matter of memory"), too_large=10)), 10)


def test_matrix_products_are_large_enough_to_show_the_peak():
    engine = measured(FakeBench())
    # 1e-9 n^2.5 seconds: 6 ms, 34 ms; sizes grow until a product takes 20 ms.
    assert engine.products() == pytest.approx({512: 0.00593, 1024: 0.03355}, rel=0.01)
    assert engine.products().keys() == {512, 1024}
