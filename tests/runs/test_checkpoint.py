"""A checkpoint as a file and back."""

from __future__ import annotations

import numpy as np
import pytest

from mlcli.runs.checkpoint import checkpoint_bytes, checkpoint_from


def assert_same_arrays(left, right):
    assert set(left) == set(right)
    for name, array in right.items():
        assert left[name].dtype == array.dtype
        assert left[name].shape == array.shape
        np.testing.assert_array_equal(left[name], array)


@pytest.mark.parametrize("best", [True, False])
def test_every_bit_comes_back(best, make_checkpoint):
    before = make_checkpoint(best=best)
    after = checkpoint_from(checkpoint_bytes(before))
    assert after.position == before.position
    assert after.run == before.run
    assert after.engine.values == before.engine.values
    assert_same_arrays(after.engine.arrays, before.engine.arrays)
    assert_same_arrays(after.weights, before.weights)
    assert_same_arrays({"losses": after.batch_losses}, {"losses": before.batch_losses})
    if best:
        assert_same_arrays(after.best_weights, before.best_weights)
    else:
        assert after.best_weights is None


def test_what_comes_back_can_be_written_to(make_checkpoint):
    after = checkpoint_from(checkpoint_bytes(make_checkpoint()))
    assert all(array.flags.writeable for array in (*after.weights.values(), *after.engine.arrays.values()))


def test_it_says_where_it_was_made(make_checkpoint):
    assert make_checkpoint().words == "after epoch 1 and 2 steps of the next"


def _with_document(text: bytes) -> bytes:
    from safetensors.numpy import save

    return save({"document": np.frombuffer(text, dtype=np.uint8), "batch_losses": np.empty(0)})


@pytest.mark.parametrize(
    "damaged",
    [
        lambda data: b"",
        lambda data: b"\x80\x04N.",
        lambda data: b"\xff" * 64,
        lambda data: data[:-1],
        lambda data: _with_document(b"{}"),
        lambda data: _with_document(b"[" * 100_000),
        lambda data: _with_document(b"\xff"),
        lambda data: _with_document(b'{"schema_version": 1, "position": {"step": "x"}}'),
        lambda data: data.replace(b'"schema_version": 1', b'"schema_version": 2'),
    ],
)
def test_what_is_something_else_is_refused(damaged, make_checkpoint):
    with pytest.raises(ValueError, match=r"\w"):
        checkpoint_from(damaged(checkpoint_bytes(make_checkpoint())))
