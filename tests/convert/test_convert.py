"""Conversion: files that load without mlcli and score as the run does, and refusals that leave nothing behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from mlcli.config.experiment import load_experiment
from mlcli.convert.convert import ConversionRequest, convert
from mlcli.convert.formats import onnx as onnx_export
from mlcli.convert.formats import torch as torch_export
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run
from mlcli.train.trainer import RunPaths, train

SUFFIXES = {"torch": ".safetensors", "keras": ".keras", "sklearn": ".skops", "onnx": ".onnx"}
RUNS = {
    "mlp": ("torch", {"training.epochs": 2}),
    "softmax": (
        "keras",
        {
            "model.hidden": [16, 12],
            "model.activation": "sigmoid",
            "model.dropout": 0.3,
            "model.output": "softmax",
            "dataset.scaling": "standard",
            "training.epochs": 1,
        },
    ),
    "cnn": (
        "torch",
        {
            "model.name": "cnn",
            "model.channels": [4, 6],
            "model.kernel_size": 5,
            "model.hidden": 16,
            "model.dropout": 0.2,
            "training.epochs": 1,
        },
    ),
    "gelu": (
        "torch",
        {
            "dataset.name": "iris",
            "dataset.scaling": "unit",
            "model.activation": "gelu",
            "model.hidden": [8],
            "runtime.precision": "float64",
            "training.epochs": 5,
        },
    ),
    "logistic": ("sklearn", {"dataset.name": "iris", "model.name": "logistic", "optimizer.weight_decay": 0.01}),
    "forest": ("sklearn", {"model.name": "estimator", "model.estimator": "RandomForestClassifier"}),
    "svc": ("sklearn", {"dataset.name": "iris", "model.name": "estimator", "model.estimator": "LinearSVC"}),
}
IMPOSSIBLE = {("cnn", "sklearn"), ("gelu", "sklearn")} | {
    (run, target) for run in ("forest", "svc") for target in ("torch", "keras", "onnx")
}


class Silence:
    def __getattr__(self, name):
        return lambda *arguments: None


def trained(backend, flags, runs_directory, data_directory=None):
    config = load_experiment(None, flags={"backend": backend, **flags}, environ={})
    result = train(make_plan(config), RunPaths(runs_directory, data_directory=data_directory), 1, Silence())
    return open_run(find_run(str(result.directory), runs_directory))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each run of RUNS by name, trained when it is first asked for."""
    directory, made = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in made:
            made[name] = trained(*RUNS[name], directory)
        return made[name]

    return run


def converted(run, target, directory, **request):
    return convert(run, ConversionRequest(target, directory / f"model{SUFFIXES[target]}", **request))


@pytest.mark.parametrize(
    ("name", "target"), [(run, target) for run in RUNS for target in SUFFIXES if (run, target) not in IMPOSSIBLE]
)
def test_what_was_written_scores_as_the_run_does(runs, name, target, tmp_path):
    run = runs(name)
    conversion = converted(run, target, tmp_path)
    assert conversion.is_within
    assert conversion.n_changed == 0
    assert conversion.accuracy == conversion.reported_accuracy == run.record.metrics["test"].accuracy
    assert conversion.n_samples == run.record.metrics["test"].n_samples
    if name == "svc":
        assert (conversion.compared, conversion.largest_relative_difference) == ("labels", None)
    else:
        assert conversion.largest_relative_difference < 1e-5
    assert [path.name for path in tmp_path.iterdir()] == [f"model{SUFFIXES[target]}"]


ALONE = """
import json, sys
sys.modules["mlcli"] = None  # so that importing it fails
import numpy as np

given = json.load(open(sys.argv[1]))
with np.load(given["samples"]) as arrays:
    samples, y = arrays["x"], arrays["y"]
accuracies = {}
for target, lines in given["usages"].items():
    names = {"x": samples}
    exec(lines, names)
    accuracies[target] = float(np.mean(np.asarray(names["labels"]) == y))
print(json.dumps(accuracies))
"""


def accuracies_without_mlcli(usages, split, tmp_path):
    """What the printed lines give in a fresh Python that cannot import mlcli."""
    np.savez(tmp_path / "samples.npz", x=split.x, y=split.y)
    (tmp_path / "given.json").write_text(json.dumps({"samples": str(tmp_path / "samples.npz"), "usages": usages}))
    process = subprocess.run(
        [sys.executable, "-c", ALONE, str(tmp_path / "given.json")],
        env=os.environ | {"KERAS_BACKEND": "torch"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def test_the_printed_lines_work_without_mlcli_and_give_the_reported_accuracy(runs, tmp_path):
    run = runs("mlp")
    usages = {target: converted(run, target, tmp_path).usage for target in SUFFIXES}
    found = accuracies_without_mlcli(usages, run.load_dataset().test, tmp_path)
    assert found == dict.fromkeys(SUFFIXES, run.record.metrics["test"].accuracy)


@pytest.mark.images
def test_the_lines_for_pytorch_give_the_reported_accuracy_of_fashion(image_data_dir, tmp_path):
    flags = {"dataset.name": "fashion", "dataset.limit": 6000, "training.epochs": 1}
    run = trained("torch", flags, tmp_path / "runs", image_data_dir)
    usage = converted(run, "torch", tmp_path, data_directory=image_data_dir).usage
    split = run.load_dataset(data_directory=image_data_dir).test
    reported = run.record.metrics["test"].accuracy
    assert reported > 0.6
    assert accuracies_without_mlcli({"torch": usage}, split, tmp_path) == {"torch": reported}


def test_the_lines_say_what_samples_they_take(runs, tmp_path):
    assert "# x: raw samples, a numpy array (n, 1, 8, 8); 0 to 16\n" in converted(runs("mlp"), "torch", tmp_path).usage
    usage = converted(runs("logistic"), "sklearn", tmp_path).usage
    assert "# x: raw samples, a numpy array (n, 4): sepal" in usage
    assert "model.decision_function(matrix)" in usage


@pytest.mark.parametrize(("name", "target"), sorted(IMPOSSIBLE))
def test_what_a_format_cannot_hold_is_refused(runs, name, target, tmp_path):
    reason = {"cnn": "scikit-learn has no cnn", "gelu": "scikit-learn has no activation gelu, but relu, tanh, sigmoid"}
    with pytest.raises(
        UsageError, match=reason.get(name, "has no weights that .* could take; it converts --to sklearn")
    ):
        converted(runs(name), target, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_that_scores_otherwise_is_reported_and_not_put_in_place(runs, tmp_path, monkeypatch):
    write = torch_export.TorchExport.write

    def spoilt(self, model, path):
        weights = {name: array + (0.1 if name.endswith("bias") else 0) for name, array in model.weights.items()}
        write(self, type(model)(model.network, weights, model.scaling, model.precision), path)

    monkeypatch.setattr(torch_export.TorchExport, "write", spoilt)
    conversion = converted(runs("mlp"), "torch", tmp_path)
    assert not conversion.is_within
    assert conversion.largest_relative_difference > 1e-3
    assert not list(tmp_path.iterdir())
    assert converted(runs("mlp"), "torch", tmp_path, tolerance=10.0).is_within
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_file_that_is_there_stays_unless_force_is_given(runs, tmp_path):
    there = tmp_path / "model.safetensors"
    there.write_text("precious")
    with pytest.raises(UsageError, match="there is something already; --force replaces it"):
        converted(runs("mlp"), "torch", tmp_path)
    assert there.read_text() == "precious"
    converted(runs("mlp"), "torch", tmp_path, force=True)
    assert there.stat().st_size > 1000


def test_a_write_that_fails_leaves_nothing_and_keeps_what_was_there(runs, tmp_path, monkeypatch):
    there = tmp_path / "model.safetensors"
    there.write_text("precious")

    def full(self, model, path):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch_export.TorchExport, "write", full)
    with pytest.raises(MlcliError, match="model.safetensors: cannot be written: No space left on device"):
        converted(runs("mlp"), "torch", tmp_path, force=True)
    assert there.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_another_suffix_and_an_unknown_format_are_refused(runs, tmp_path):
    with pytest.raises(UsageError, match=r"a Keras model is a \.keras file"):
        convert(runs("mlp"), ConversionRequest("keras", tmp_path / "model.h5"))
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        convert(runs("mlp"), ConversionRequest("onx", tmp_path / "model.onnx"))


def test_a_missing_extra_is_named_with_the_remedy(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UsageError, match=r"--to onnx: onnxruntime must be installed: pip install 'mlcli\[onnx\]'"):
        converted(runs("mlp"), "onnx", tmp_path)


def test_float64_in_a_float32_format_is_noted(runs, tmp_path):
    assert converted(runs("gelu"), "keras", tmp_path).notes == (
        "the run is in float64, and the keras model is in float32",
    )
    assert converted(runs("gelu"), "torch", tmp_path).notes == ()
