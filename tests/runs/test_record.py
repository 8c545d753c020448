"""The record of a run survives JSON, and a document that is not a record is refused."""

from __future__ import annotations

import os
from dataclasses import asdict, replace

import pytest

from mlcli.records import EpochRecord, Metrics, RunRecord, Timing
from mlcli.runs.directory import RunDirectory
from mlcli.runs.record import record_from, typed
from mlcli.text import to_json
from mlcli.untrusted import parse_json

RECORD = RunRecord(
    run_id="a", name="n", status="diverged", backend="torch", dataset="digits", model="mlp", seed=2**32 - 1,
    metrics={"train": Metrics(1.0, 0.1 + 0.2, 7), "test": Metrics(0.5, None, 3)}, timing=Timing(*map(float, range(7))),
    epochs=3, best_epoch=1, samples_per_second=1 / 3, n_parameters=2**40, device="cuda:0", threads=64,
    peak_memory_bytes=2**36, notes=("one", "two\nlines"), digests={"config": "a" * 64}, mlcli_version="0",
    created="2026-01-01T00:00:00+00:00", error="the loss became nan\nin epoch 2",
)  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, timing=None, metrics={}, error=None, epochs=None)])
def test_a_record_is_read_back_unchanged(record):
    assert record_from(parse_json(to_json(asdict(record)).encode())) == record


def test_a_loss_that_is_not_finite_is_read_back_as_none():
    record = replace(RECORD, metrics={"test": Metrics(0.1, float("nan"), 3)})
    assert record_from(parse_json(to_json(asdict(record)).encode())).metrics["test"].loss is None


def test_a_field_of_another_type_is_named():
    document = asdict(EpochRecord(1, None, None, None, None, None, 1.0, 1.0, True)) | {"seconds": "long"}
    with pytest.raises(ValueError, match="seconds: input should be a valid number"):
        typed(EpochRecord, document)
    with pytest.raises(ValueError, match="metrics.test.accuracy: input should be"):
        record_from(asdict(RECORD) | {"metrics": {"test": {"accuracy": True, "loss": None, "n_samples": 1}}})


def test_a_record_in_a_directory_whose_name_does_not_decode(tmp_path):
    directory = RunDirectory(tmp_path / os.fsdecode(b"\xff"))
    directory.path.mkdir()
    directory.finish(replace(RECORD, run_id=directory.run_id))
    assert directory.read_record().run_id == "\\udcff"
