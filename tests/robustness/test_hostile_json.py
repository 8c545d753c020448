"""JSON of a run within bounds, and files of a run that are files of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, replace

import pytest

from mlcli.records import EpochRecord, Metrics, RunRecord, Timing
from mlcli.runs.directory import RunDirectory
from mlcli.runs.files import leads_outside, read_artifact
from mlcli.runs.json import parsed_json, typed
from mlcli.runs.record import record_from
from mlcli.text import to_json

RECORD = RunRecord(
    run_id="a", name="n", status="diverged", backend="torch", dataset="digits", model="mlp", seed=2**32 - 1,
    metrics={"train": Metrics(1.0, 0.1 + 0.2, 7), "test": Metrics(0.5, None, 3)}, timing=Timing(*map(float, range(7))),
    epochs=3, best_epoch=1, samples_per_second=1 / 3, n_parameters=2**40, device="cuda:0", threads=64,
    peak_memory_bytes=2**36, notes=("one", "two\nlines"), digests={"config": "a" * 64}, mlcli_version="0",
    created="2026-01-01T00:00:00+00:00", error="the loss became nan\nin epoch 2",
)  # fmt: skip


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, timing=None, metrics={}, error=None, epochs=None)])
def test_every_record_comes_back_as_it_was(record):
    assert record_from(parsed_json(to_json(asdict(record)).encode())) == record


def test_a_loss_that_was_not_finite_comes_back_as_none():
    record = replace(RECORD, metrics={"test": Metrics(0.1, float("nan"), 3)})
    assert record_from(parsed_json(to_json(asdict(record)).encode())).metrics["test"].loss is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 100_000, "nested more than 16 levels"),
        ('{"a": ' + "[" * 100_000, "nested more than 16 levels"),
        ('{"a": ' + '{"a": ' * 20 + "1" + "}" * 21, "nested more than 16 levels"),
        ('{"a": ' + "9" * 100_000 + "}", "a number of 100,000 digits needs more than 64 bits"),
        ('{"a": 9223372036854775808}', "more than 64 bits"),
        ('{"a": 1e400}', "too large"),
        ('{"a": -Infinity}', "-Infinity is no JSON number"),
        ("7", "not a JSON object"),
        ('{"a": "\\udc00"}', "surrogates not allowed"),
        ('{"a": 1', "Expecting"),
    ],
)
def test_what_no_run_writes_is_refused_in_a_line(text, words):
    with pytest.raises(ValueError, match=words) as refusal:
        parsed_json(text.encode())
    assert len(str(refusal.value)) < 200


def test_what_is_within_the_bounds_is_taken():
    document = {"a": [[[[[[[[[[[[[1]]]]]]]]]]]]], "b": -(2**63), "c": 2**63 - 1, "d": 5e-324, "é\n": "ü"}
    assert parsed_json(json.dumps(document).encode()) == document


def test_control_characters_are_written_out_but_for_line_breaks():
    found = parsed_json(json.dumps({"\x1b": ["\x07", {"a": "b\n\x9b"}]}).encode())
    assert found == {"\\x1b": ["\\x07", {"a": "b\n\\x9b"}]}


def test_the_field_that_is_something_else_is_named():
    document = asdict(EpochRecord(1, None, None, None, None, None, 1.0, 1.0, True)) | {"seconds": "long"}
    with pytest.raises(ValueError, match="seconds: input should be a valid number"):
        typed(EpochRecord, document)
    with pytest.raises(ValueError, match="metrics.test.accuracy: input should be"):
        record_from(asdict(RECORD) | {"metrics": {"test": {"accuracy": True, "loss": None, "n_samples": 1}}})


def test_a_file_of_the_directory_is_read_through_a_link_within_it(tmp_path):
    (tmp_path / "run" / "inner").mkdir(parents=True)
    (tmp_path / "run" / "inner" / "x").write_bytes(b"content")
    (tmp_path / "run" / "y").symlink_to("inner/x")
    (tmp_path / "link").symlink_to("run")
    for run in (tmp_path / "run", tmp_path / "link"):
        assert read_artifact(run, "y") == read_artifact(run, "inner/x") == b"content"
    with pytest.raises(ValueError, match="7 bytes, expected 6 at the most"):
        read_artifact(tmp_path / "run", "y", most_bytes=6)


@pytest.mark.parametrize("name", ["../secret", "link", "folder", "pipe", "loop", "/etc/passwd", "/dev/null"])
def test_what_is_no_file_of_the_directory_is_not_opened(tmp_path, name, monkeypatch):
    (tmp_path / "run" / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "run" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "run" / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "run" / "pipe")
    monkeypatch.setattr(os, "open", lambda *arguments: pytest.fail("opened"))
    with pytest.raises((ValueError, OSError)):
        read_artifact(tmp_path / "run", name)


def test_a_name_that_begins_like_the_directory_is_outside(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run2").mkdir()
    assert leads_outside(tmp_path / "run" / ".." / "run2" / "x", tmp_path / "run")
    assert not leads_outside(tmp_path / "run" / "new", tmp_path / "run")


def test_a_record_under_a_name_that_is_no_text_can_be_written_and_read(tmp_path):
    directory = RunDirectory(tmp_path / os.fsdecode(b"\xff"))
    directory.path.mkdir()
    directory.finish(replace(RECORD, run_id=directory.run_id))
    assert directory.read_record().run_id == "\\udcff"
