"""Run files with invalid content are refused even if their checksums in the manifest match."""

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
def test_invalid_json_is_refused(tampered_run, name, content):
    (tampered_run.path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    tampered_run.check_every_use(refusing=BY_ARTIFACT[name])


@pytest.mark.parametrize("content", JSON_TEXTS.values(), ids=JSON_TEXTS)
def test_an_invalid_manifest_is_refused(tampered_run, content):
    (tampered_run.path / "manifest.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    tampered_run.check_every_use(new_manifest=False, refusing=OPENING)


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
    "a shape of text": put("input_shape", ["4"]),
    "another kind": put("kind", "audio"),
    "an image without axes": put("kind", "image"),
    "another number of classes": put("class_names", ["one"]),
    "no classes": put("class_names", []),
    "one class twice": put("class_names", ["a", "a", "b"]),
    "a class of two lines": put("class_names", ["a", "b\nimport os", "c"]),
    "a feature of two lines": put("feature_names", ["a", "b", "c", "d\nimport os; os.mkdir('canary')"]),
    "other features": put("feature_names", ["a"]),
    "a range of text": put("value_range", ["0", "1"]),
    "half a range": put("value_range", [0]),
    "another version": put("schema_version", 2),
    "no kind of scaling": put("scaling", "kind", None),
}


@pytest.mark.parametrize("change", PREPROCESSING.values(), ids=PREPROCESSING)
def test_an_inconsistent_preprocessing_is_refused(tampered_run, change):
    tampered_run.edit("preprocessing.json", change)
    expected = ("evaluate", "predict", "convert", "train", "bench")
    tampered_run.check_every_use(refusing=expected)


RECORDS = {
    "another status": put("status", "excellent"),
    "a status of another kind": put("status", []),
    "an accuracy beyond 1": put("metrics", "test", "accuracy", 7),
    "an accuracy that is text": put("metrics", "test", "accuracy", "high"),
    "a loss that is text": put("metrics", "test", "loss", "nan"),
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
def test_an_invalid_record_is_refused(tampered_run, change):
    tampered_run.edit("metrics.json", change)
    tampered_run.check_every_use(new_manifest=False, refusing=BY_ARTIFACT["metrics.json"])


@pytest.mark.parametrize("change", [put("digests", {}), put("metrics", {}), put("timing", None)])
def test_a_finished_run_without_a_required_field_is_refused(tampered_run, change):
    tampered_run.edit("metrics.json", change)
    tampered_run.check_every_use(new_manifest=False, refusing=OPENING)


def test_a_number_of_test_samples_other_than_in_the_predictions_is_refused(tampered_run):
    tampered_run.edit("metrics.json", put("metrics", "test", "n_samples", 10**6))
    tampered_run.check_every_use(new_manifest=False, refusing=("compare",))


FORGED = {
    "accuracy": put("metrics", "test", "accuracy", 0.9999),
    "loss": put("metrics", "test", "loss", 0.001),
    "samples": put("metrics", "test", "n_samples", 29),
    "training accuracy": put("metrics", "train", "accuracy", 0.9999),
    "time": put("timing", "first_epoch_seconds", 1e-6),
    "memory": put("peak_memory_bytes", 1000),
    "status": put("status", "failed"),
}


@pytest.mark.parametrize("change", FORGED.values(), ids=FORGED)
def test_an_edited_record_is_refused_by_every_use(tampered_run, change):
    tampered_run.edit("metrics.json", change)
    tampered_run.check_every_use(new_manifest=False, refusing=BY_ARTIFACT["metrics.json"])


@pytest.mark.parametrize("without", [(), ("metrics.json",)], ids=["new manifest", "manifest of an earlier version"])
@pytest.mark.parametrize("name", ["accuracy", "loss", "samples"])
def test_test_scores_other_than_those_of_the_predictions_are_refused_whatever_the_manifest_lists(
    tampered_run, name, without, capsys
):
    tampered_run.edit("metrics.json", FORGED[name])
    tampered_run.remake_manifest(without)
    refusing = ("show", *OPENING) if without else ("show", "compare")
    tampered_run.check_every_use(new_manifest=False, refusing=refusing)
    tampered_run.refuses("list")
    assert ("scores of 1 of these runs are not verified" in capsys.readouterr().err) == bool(without)


@pytest.mark.parametrize("value", [["numpy", "2.0"], "numpy", 7, None, {"numpy": {"a": [1]}}, [[1, 2], [3]]])
@pytest.mark.parametrize("name", ["packages", "processor", "cores", "threads", "device", "mlcli"])
def test_an_environment_with_unexpected_values_is_shown_unchanged(tampered_run, name, value):
    tampered_run.edit("environment.json", put(name, value))
    tampered_run.remake_manifest()
    assert not tampered_run.refuses("receipt")
    (tampered_run.path / "metrics.json").unlink()
    assert not tampered_run.refuses("show")


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
def test_weights_with_a_false_header_are_refused(tampered_run, content):
    (tampered_run.path / "weights.safetensors").write_bytes(content)
    tampered_run.check_every_use(refusing=WEIGHTS)


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
def test_predictions_with_a_false_header_are_refused(tampered_run, content):
    (tampered_run.path / "predictions.npz").write_bytes(content)
    tampered_run.check_every_use(refusing=("compare",))


HISTORY_HEADER = (
    "epoch,learning_rate,train_loss,train_accuracy,validation_loss,validation_accuracy,seconds,samples_per_second,"
    "is_best\n"
)
HISTORIES = {
    "a cell without end": HISTORY_HEADER + '"' + "x" * 200_000 + '"\n',
    "an epoch of 4,000 digits": HISTORY_HEADER + "9" * 4000 + ",,,,,,1,1,True\n",
    "other columns": "epoch\n1\n",
    "a row with a missing cell": HISTORY_HEADER + "1,\n",
    "no text": HISTORY_HEADER.encode() + b"\xff\n",
}


@pytest.mark.parametrize("content", HISTORIES.values(), ids=HISTORIES)
def test_an_invalid_history_is_refused(tampered_run, content):
    (tampered_run.path / "history.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    tampered_run.check_every_use(refusing=("show", "compare"))


def test_an_additional_array_in_the_predictions_is_not_read(tampered_run):
    path = tampered_run.path / "predictions.npz"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("more.npy", b"cos\nmkdir\n(Vcanary\ntR.")  # a pickle
    tampered_run.check_every_use(refusing=())
    arrays = open_run(find_run(str(tampered_run.path), tampered_run.path.parent)).files.predictions()
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
def test_an_invalid_configuration_is_refused(tampered_run, name):
    path, change = tampered_run.path / "config.yaml", CONFIGS[name]
    if isinstance(change, str):
        path.write_text(change)
    else:
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | change))
    expected = ("evaluate", "convert", "bench") if name in NOT_FOR_EVALUATION else ("evaluate", "predict", "train")
    tampered_run.check_every_use(refusing=expected)


@pytest.mark.parametrize("name", ["another file", "another file, as a list"])
def test_the_configuration_of_an_unfinished_run_cannot_extend_files(tampered_run, name, capsys):
    (tampered_run.path / "metrics.json").unlink()
    (tampered_run.path / "config.yaml").write_text(yaml.safe_dump(CONFIGS[name]))
    tampered_run.check_every_use(new_manifest=False, refusing=("list", "show", "compare"))
    assert "SECRET" not in "".join(capsys.readouterr())
