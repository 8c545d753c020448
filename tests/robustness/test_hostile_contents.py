"""Files of a run with contents that no run leaves, which its manifest vouches for."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import pytest
import yaml
from numpy.lib import format as npy_format

from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run

OPENING = ("evaluate", "predict", "convert", "compare", "receipt", "train", "bench")
WEIGHTS = ("evaluate", "predict", "convert", "train", "bench")
BY_ARTIFACT = {
    "metrics.json": ("list", "show", *OPENING),
    "environment.json": ("receipt",),
    "preprocessing.json": (*WEIGHTS, "receipt"),
}


def put(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(document):
        for key in keys:
            document = document[key]
        document[last] = value

    return change


DEEP = "[" * 100_000
JSON_TEXTS = {
    "nested without end": '{"a": ' + DEEP,
    "nested deeper than any": '{"a": ' + "[" * 400 + "]" * 400 + "}",
    "a number of 100,000 digits": '{"a": ' + "9" * 100_000 + "}",
    "a number of 4,000 digits": '{"a": ' + "9" * 4000 + "}",
    "an infinite number": '{"a": 1e999}',
    "no number": '{"a": NaN}',
    "a list": "[]",
    "half a surrogate": '{"a": "\\ud800"}',
    "not UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "nothing": "",
    "larger than any": '{"a": "' + "x" * (9 * 2**20) + '"}',
}


@pytest.mark.parametrize("content", JSON_TEXTS.values(), ids=JSON_TEXTS)
@pytest.mark.parametrize("name", ["environment.json", "preprocessing.json", "metrics.json"])
def test_json_that_no_run_leaves(victim, name, content):
    (victim.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    victim.tried(refusing=BY_ARTIFACT[name])


@pytest.mark.parametrize("content", JSON_TEXTS.values(), ids=JSON_TEXTS)
def test_a_manifest_that_no_run_leaves(victim, content):
    (victim.path / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    victim.tried(vouched=False, refusing=OPENING)


SCALING = ("scaling", "scale")
PREPROCESSING = {
    "a code in place of a number": put(*SCALING, "__import__('os').mkdir('canary')"),
    "division by nothing": put(*SCALING, [0.0] * 4),
    "a scaling of another size": put(*SCALING, [1.0] * 3),
    "a nested scaling": put(*SCALING, [[1.0] * 4] * 4),
    "a sample of petabytes": put("input_shape", [2**50]),
    "a sample of more": put("input_shape", [10**18, 10**18, 10**18]),
    "a sample of less than nothing": put("input_shape", [-4]),
    "a sample of no axis": put("input_shape", []),
    "a shape of words": put("input_shape", ["4"]),
    "another kind": put("kind", "audio"),
    "an image without axes": put("kind", "image"),
    "another number of classes": put("class_names", ["one"]),
    "no classes": put("class_names", []),
    "one class twice": put("class_names", ["a", "a", "b"]),
    "a class of two lines": put("class_names", ["a", "b\nimport os", "c"]),
    "a feature of two lines": put("feature_names", ["a", "b", "c", "d\nimport os; os.mkdir('canary')"]),
    "other features": put("feature_names", ["a"]),
    "a range of words": put("value_range", ["0", "1"]),
    "half a range": put("value_range", [0]),
    "another version": put("schema_version", 2),
    "no kind of scaling": put("scaling", "kind", None),
}


@pytest.mark.parametrize("change", PREPROCESSING.values(), ids=PREPROCESSING)
def test_a_preprocessing_that_does_not_hold_together(victim, change):
    victim.edit("preprocessing.json", change)
    expected = ("evaluate", "predict", "convert", "train", "bench")
    victim.tried(refusing=expected)


RECORDS = {
    "another status": put("status", "excellent"),
    "a status of another kind": put("status", []),
    "an accuracy beyond 1": put("metrics", "test", "accuracy", 7),
    "an accuracy in words": put("metrics", "test", "accuracy", "high"),
    "a loss in words": put("metrics", "test", "loss", "nan"),
    "no samples": put("metrics", "test", "n_samples", 0),
    "metrics of another kind": put("metrics", []),
    "a time before the start": put("timing", "first_epoch_seconds", -1.0),
    "a time beyond all": put("timing", "first_epoch_seconds", 1e300),
    "more threads than any machine has": put("threads", 10**9),
    "a name of two lines": put("run_id", "a\nb"),
    "a name without end": put("name", "x" * 10_000),
    "notes of another kind": put("notes", "text"),
    "digests of another kind": put("digests", "dataset", None),
    "a date of another kind": put("created", 7),
    "a seed of another kind": put("seed", "0"),
}


@pytest.mark.parametrize("change", RECORDS.values(), ids=RECORDS)
def test_a_record_that_no_run_leaves(victim, change):
    victim.edit("metrics.json", change)
    victim.tried(vouched=False, refusing=BY_ARTIFACT["metrics.json"])


@pytest.mark.parametrize("change", [put("digests", {}), put("metrics", {}), put("timing", None)])
def test_a_finished_run_that_lacks_what_every_one_has(victim, change):
    victim.edit("metrics.json", change)
    victim.tried(vouched=False, refusing=OPENING)


def test_fewer_or_other_test_samples_than_were_scored(victim):
    victim.edit("metrics.json", put("metrics", "test", "n_samples", 10**6))
    victim.tried(vouched=False, refusing=("compare",))


@pytest.mark.parametrize("value", [["numpy", "2.0"], "numpy", 7, None, {"numpy": {"a": [1]}}, [[1, 2], [3]]])
@pytest.mark.parametrize("name", ["packages", "processor", "cores", "threads", "device", "mlcli"])
def test_an_environment_that_says_other_things_is_shown_as_it_is(victim, name, value):
    victim.edit("environment.json", put(name, value))
    victim.remake_manifest()
    assert not victim.refuses("receipt")
    (victim.path / "metrics.json").unlink()
    assert not victim.refuses("show")


def saved_weights(header, body=b""):
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(encoded).to_bytes(8, "little") + encoded + body


def tensor(shape=(3, 4), begin=0, end=48, dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


BIAS = {"dtype": "F32", "shape": [3], "data_offsets": [48, 60]}
WHOLE = json.dumps({"1.weight": tensor(), "1.bias": BIAS}).encode()
LYING = {
    "nothing": b"",
    "a header longer than the file": (10**6).to_bytes(8, "little") + b"{}",
    "a header of 2^63 bytes": (2**63).to_bytes(8, "little") + b"{}",
    "a header of 2^64 - 1 bytes": b"\xff" * 8,
    "offsets beyond the file": saved_weights({"1.weight": tensor(end=4800), "1.bias": BIAS}, bytes(60)),
    "offsets that lie upon one another": saved_weights(
        {"1.weight": tensor(), "1.bias": BIAS | {"data_offsets": [0, 12]}}, bytes(60)
    ),
    "offsets in the wrong order": saved_weights({"1.weight": tensor(begin=48, end=0), "1.bias": BIAS}, bytes(60)),
    "negative offsets": saved_weights({"1.weight": tensor(begin=-8), "1.bias": BIAS}, bytes(60)),
    "a gap": saved_weights({"1.weight": tensor(), "1.bias": BIAS | {"data_offsets": [52, 64]}}, bytes(64)),
    "bytes that belong to nothing": saved_weights({"1.weight": tensor(), "1.bias": BIAS}, bytes(1000)),
    "a shape of other bytes": saved_weights({"1.weight": tensor((3, 400)), "1.bias": BIAS}, bytes(60)),
    "a shape of petabytes": saved_weights({"1.weight": tensor((2**30, 2**30)), "1.bias": BIAS}, bytes(60)),
    "a shape whose product is 0 in 64 bits": saved_weights(
        {"1.weight": tensor((2**32, 2**32), end=0), "1.bias": BIAS | {"data_offsets": [0, 12]}}, bytes(12)
    ),
    "a negative shape": saved_weights({"1.weight": tensor((-3, -4)), "1.bias": BIAS}, bytes(60)),
    "a shape of fractions": saved_weights({"1.weight": tensor((3.0, 4.5)), "1.bias": BIAS}, bytes(60)),
    "a type that is none": saved_weights({"1.weight": tensor(dtype="PICKLE"), "1.bias": BIAS}, bytes(60)),
    "a type that is no number of ours": saved_weights(
        {"1.weight": tensor(end=24, dtype="BF16"), "1.bias": BIAS | {"data_offsets": [24, 36]}}, bytes(36)
    ),
    "whole numbers": saved_weights({"1.weight": tensor(dtype="I32"), "1.bias": BIAS}, bytes(60)),
    "one name twice": saved_weights(
        b'{"1.weight":' + json.dumps(tensor()).encode() + b',"1.weight":' + json.dumps(BIAS).encode() + b"}", bytes(60)
    ),
    "a nested header": saved_weights(b'{"a":' * 50_000),
    "a header that is not UTF-8": saved_weights(b'{"\xff\xfe":{}}'),
    "a header that is no object": saved_weights(b"[]"),
    "names that a terminal obeys": saved_weights({"\x1b]0;owned\x07": tensor(), "1.bias": BIAS}, bytes(60)),
    "other names": saved_weights({"os.system": tensor(), "1.bias": BIAS}, bytes(60)),
    "values that are not finite": saved_weights({"1.weight": tensor(), "1.bias": BIAS}, b"\xff" * 60),
    "a thousand weights more": saved_weights({f"{i}.weight": tensor((0,), 0, 0) for i in range(5000)}),
    "more bytes than the model can have": saved_weights(WHOLE + b" " * (2 * 2**20), bytes(60)),
}


@pytest.mark.parametrize("content", LYING.values(), ids=LYING)
def test_weights_whose_header_lies(victim, content):
    (victim.path / "weights.safetensors").write_bytes(content)
    victim.tried(refusing=WEIGHTS)


def npy(shape, dtype="<i8", body=b"", order=False):
    stream = io.BytesIO()
    npy_format.write_array_header_1_0(stream, {"descr": dtype, "fortran_order": order, "shape": shape})
    return stream.getvalue() + body


def npz(compression=zipfile.ZIP_STORED, **members):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return stream.getvalue()


LABELS = npy((30,), body=bytes(240))
PREDICTIONS = {
    "petabytes": npz(y=npy((2**50,)), labels=LABELS),
    "a product beyond 64 bits": npz(y=npy((2**40, 2**40)), labels=LABELS),
    "a product that is 0 in 64 bits": npz(y=npy((2**32, 2**32)), labels=LABELS),
    "a negative shape": npz(y=npy((-30,), body=bytes(240)), labels=LABELS),
    "Python objects": npz(y=npy((30,), "|O", pickle.dumps([1])), labels=LABELS),
    "compressed": npz(zipfile.ZIP_DEFLATED, y=LABELS, labels=LABELS),
    "more labels than samples": npz(y=LABELS, labels=npy((31,), body=bytes(248))),
    "no labels": npz(y=LABELS),
    "no samples": npz(y=npy((0,)), labels=npy((0,))),
    "labels that are no numbers": npz(y=npy((30,), "<U2", bytes(240)), labels=LABELS),
    "scores without an axis": npz(y=LABELS, labels=LABELS, logits=npy((), "<f4", bytes(4))),
    "scores of other samples": npz(y=LABELS, labels=LABELS, probabilities=npy((2, 3), "<f4", bytes(24))),
    "a header of brackets": npz(y=b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 0xFFFF, labels=LABELS),
    "another array of zeros": npz(y=LABELS, labels=LABELS)[:-30],
    "no archive": b"PK\x03\x04",
}


@pytest.mark.parametrize("content", PREDICTIONS.values(), ids=PREDICTIONS)
def test_predictions_that_announce_what_is_not_there(victim, content):
    (victim.path / "predictions.npz").write_bytes(content)
    victim.tried(refusing=("compare",))


HISTORY_HEADER = (
    "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,samples_per_second,"
    "is_best\n"
)
HISTORIES = {
    "a cell without end": HISTORY_HEADER + '"' + "x" * 200_000 + '"\n',
    "an epoch of 4,000 digits": HISTORY_HEADER + "9" * 4000 + ",,,,,,1,1,True\n",
    "other columns": "epoch\n1\n",
    "a row of too few cells": HISTORY_HEADER + "1,\n",
    "no text": HISTORY_HEADER.encode() + b"\xff\n",
}


@pytest.mark.parametrize("content", HISTORIES.values(), ids=HISTORIES)
def test_a_history_that_no_run_leaves(victim, content):
    (victim.path / "history.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    victim.tried(refusing=("show", "compare"))


def test_an_array_beside_the_scores_is_not_looked_at(victim):
    path = victim.path / "predictions.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", b"cos\nmkdir\n(Vcanary\ntR.")  # a pickle
    victim.tried(refusing=())
    arrays = open_run(find_run(str(victim.path), victim.path.parent)).files.predictions()
    assert set(arrays) == {"y", "labels", "probabilities", "logits"}


CONFIGS = {
    "a model of petabytes": {"model": {"name": "mlp", "hidden": [10**9, 10**9]}, "optimizer": {"name": "adam"}},
    "ten thousand layers": {"model": {"name": "mlp", "hidden": [2] * 5000}, "optimizer": {"name": "adam"}},
    "more threads than any machine has": {"runtime": {"threads": 2**30}},
    "another dataset": {"dataset": {"name": "digits"}},
    "a dataset that does not exist": {"dataset": {"name": "../../etc/passwd"}},
    "another file": {"extends": "../../outside/secret"},
    "another file, as a list": {"extends": ["../../outside/secret"]},
    "a tag": "!!python/object/apply:os.mkdir [canary]",
    "faults without end": "".join(f"unknown{i}: 1\n" for i in range(500)),
}
NOT_FOR_EVALUATION = {"a dataset that does not exist", "another dataset"}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_no_run_leaves(victim, name):
    path, change = victim.path / "config.yaml", CONFIGS[name]
    if isinstance(change, str):
        path.write_text(change)
    else:
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    expected = ("evaluate", "convert", "bench") if name in NOT_FOR_EVALUATION else ("evaluate", "predict", "train")
    victim.tried(refusing=expected)


@pytest.mark.parametrize("name", ["another file", "another file, as a list"])
def test_an_unfinished_run_extends_nothing(victim, name, capsys):
    (victim.path / "metrics.json").unlink()
    (victim.path / "config.yaml").write_text(yaml.safe_dump(CONFIGS[name]))
    victim.tried(vouched=False, refusing=("list", "show", "compare"))
    assert "SECRET" not in "".join(capsys.readouterr())
