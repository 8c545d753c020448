"""Conversion: files load without mlcli and score like the run, and failures leave no files."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mlcli import files
from mlcli.config.experiment import load_experiment
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.convert.formats import FORMATS
from mlcli.convert.formats import onnx as onnx_format
from mlcli.convert.formats.torch import TorchFormat
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run
from mlcli.train.trainer import RunPaths, train

SUFFIXES = {name: info.suffix for name, info in FORMATS.items()}
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
    "forest": (
        "sklearn",
        {
            "model.name": "estimator",
            "model.estimator": "RandomForestClassifier",
            "model.parameters": {"n_estimators": 10},
        },
    ),
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
    """The runs of RUNS by name, each trained when it is first used."""
    directory, made = tmp_path_factory.mktemp("runs"), {}

    def run(name):
        if name not in made:
            made[name] = trained(*RUNS[name], directory)
        return made[name]

    return run


def converted(run, target, directory, **request):
    return convert(run, ConvertRequest("", target, directory / f"model{SUFFIXES[target]}", **request))


@pytest.mark.parametrize(
    ("name", "target"), [(run, target) for run in RUNS for target in SUFFIXES if (run, target) not in IMPOSSIBLE]
)
def test_the_file_scores_like_the_run(runs, name, target, tmp_path):
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


def accuracy_of(code, split, run_alone):
    labels, _ = run_alone(code, x=split.x)
    return np.mean(np.array(labels) == split.y)


def test_the_printed_code_works_without_mlcli_and_gives_the_reported_accuracy(runs, run_alone, tmp_path):
    run = runs("mlp")
    for target in SUFFIXES:
        code = converted(run, target, tmp_path).usage
        assert accuracy_of(code, run.load_dataset().test, run_alone) == run.record.metrics["test"].accuracy, target


@pytest.mark.images
def test_the_code_for_pytorch_gives_the_reported_accuracy_of_fashion(image_data_dir, run_alone, tmp_path):
    flags = {"dataset.name": "fashion", "dataset.limit": 6000, "training.epochs": 1}
    run = trained("torch", flags, tmp_path / "runs", image_data_dir)
    code = converted(run, "torch", tmp_path, data_dir=image_data_dir).usage
    reported = run.record.metrics["test"].accuracy
    assert reported > 0.6
    assert accuracy_of(code, run.load_dataset(data_directory=image_data_dir).test, run_alone) == reported


def test_the_code_describes_its_samples(runs, tmp_path):
    assert "# x: raw samples, a numpy array (n, 1, 8, 8); 0 to 16\n" in converted(runs("mlp"), "torch", tmp_path).usage
    usage = converted(runs("logistic"), "sklearn", tmp_path).usage
    assert "# x: raw samples, a numpy array (n, 4): sepal" in usage
    assert "model.decision_function(matrix)" in usage


@pytest.mark.parametrize(("name", "target"), sorted(IMPOSSIBLE))
def test_a_model_that_a_format_cannot_hold_is_a_usage_error(runs, name, target, tmp_path):
    reason = {
        "cnn": "scikit-learn has no cnn",
        "gelu": "scikit-learn has no activation gelu; use --to torch, keras or onnx",
    }
    with pytest.raises(UsageError, match=reason.get(name, "has no weights for .*; use --to sklearn")):
        converted(runs(name), target, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_with_other_scores_is_reported_and_not_written(runs, tmp_path, monkeypatch):
    content = TorchFormat.content

    def shifted(self, model):
        weights = {name: array + (0.1 if name.endswith("bias") else 0) for name, array in model.weights.items()}
        return content(self, replace(model, weights=weights))

    monkeypatch.setattr(TorchFormat, "content", shifted)
    conversion = converted(runs("mlp"), "torch", tmp_path)
    assert not conversion.is_within
    assert conversion.largest_relative_difference > 1e-3
    assert not list(tmp_path.iterdir())
    assert converted(runs("mlp"), "torch", tmp_path, tolerance=10.0).is_within
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_an_existing_file_is_kept_without_force(runs, tmp_path):
    existing = tmp_path / "model.safetensors"
    existing.write_text("precious")
    with pytest.raises(UsageError, match="exists already; add --force to replace it"):
        converted(runs("mlp"), "torch", tmp_path)
    assert existing.read_text() == "precious"
    converted(runs("mlp"), "torch", tmp_path, force=True)
    assert existing.stat().st_size > 1000


def test_a_full_disk_leaves_no_new_file_and_keeps_the_existing_file(runs, tmp_path, monkeypatch):
    existing = tmp_path / "model.safetensors"
    existing.write_text("precious")

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(MlcliError, match="model.safetensors: cannot be written: No space left on device"):
        converted(runs("mlp"), "torch", tmp_path, force=True)
    assert existing.read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_wrong_suffix_and_an_unknown_format_are_usage_errors(runs, tmp_path):
    with pytest.raises(UsageError, match=r"a Keras model needs the suffix \.keras"):
        convert(runs("mlp"), ConvertRequest("", "keras", tmp_path / "model.h5"))
    with pytest.raises(UsageError, match="did you mean 'onnx'"):
        convert(runs("mlp"), ConvertRequest("", "onx", tmp_path / "model.onnx"))


def test_a_missing_package_is_named_with_the_command_that_installs_it(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "find_spec", lambda name: None if name == "onnxruntime" else object())
    with pytest.raises(UsageError, match=r"--to onnx: onnxruntime must be installed: pip install 'mlcli\[onnx\]'"):
        converted(runs("mlp"), "onnx", tmp_path)


def test_float64_in_a_float32_format_is_noted(runs, tmp_path):
    assert converted(runs("gelu"), "keras", tmp_path).notes == (
        "the run is in float64, and the keras model is in float32",
    )
    assert converted(runs("gelu"), "torch", tmp_path).notes == ()
