"""Models of a person's own arrays and images: the printed lines predict as `predict` does, without mlcli."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mlcli.config.schema import ExperimentConfig
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.convert.formats import FORMATS
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from mlcli.runs.directory import RunDirectory
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train


def trained(directory, path, model, **dataset):
    settings = {
        "backend": "torch",
        "dataset": {"path": str(path), **dataset},
        "model": model,
        "training": {"epochs": 1},
    }
    paths = RunPaths(directory, directory / "run", data_directory=directory / "data")
    train(make_plan(ExperimentConfig.model_validate(settings)), paths, 1, QuietProgress(show_notes=False))
    return open_run(RunDirectory(directory / "run"))


def code_for(run, target, folder):
    request = ConvertRequest("", target, folder / f"m{FORMATS[target].suffix}", threads=1, data_dir=folder / "data")
    return convert(run, request).usage


def predicted(run, path, output):
    predict(run, PredictRequest("", path, output, force=True, threads=1), lambda *_: None)
    found = pd.read_csv(output)
    return found["label"].tolist(), found.filter(like="probability_").to_numpy()


@pytest.mark.parametrize("kind", ["table", "colours"])
def test_arrays(kind, run_alone, tmp_path):
    generator = np.random.default_rng(0)
    y = generator.integers(3, size=90)
    x = generator.normal(y[:, None], 1, (90, 5)) if kind == "table" else generator.integers(0, 256, (90, 6, 6, 3))
    x = x if kind == "table" else x.astype(np.uint8)
    np.savez(tmp_path / "arrays.npz", x=x, y=np.array(["a", "b", "c"])[y])
    model = {"name": "mlp", "hidden": (4,)} if kind == "table" else {"name": "cnn", "channels": (2,), "hidden": 4}
    run = trained(tmp_path, tmp_path / "arrays.npz", model)
    new = x[::-1]
    np.savez(tmp_path / "new.npz", x=new)
    labels, probabilities = predicted(run, tmp_path / "new.npz", tmp_path / "out.csv")
    samples = new if kind == "table" else new.transpose(0, 3, 1, 2)
    for target in FORMATS if kind == "table" else ("torch", "keras", "onnx"):
        found, scores = run_alone(code_for(run, target, tmp_path), x=np.ascontiguousarray(samples))
        assert found == labels, target
        if target != "sklearn":
            scores = np.exp(scores - np.max(scores, axis=1, keepdims=True))
            scores /= scores.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(scores, probabilities, rtol=0, atol=1e-5, err_msg=target)


def test_images(run_alone, tmp_path):
    generator = np.random.default_rng(0)
    for name in ("apple", "pear"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            pixels = generator.integers(0, 256, (9, 12, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / name / f"{number:02}.png")
    run = trained(tmp_path, tmp_path / "photos", {"name": "mlp", "hidden": (4,)}, image_size=(6, 8))
    labels, probabilities = predicted(run, tmp_path / "photos" / "pear", tmp_path / "out.csv")
    code = code_for(run, "torch", tmp_path)
    paths = [str(tmp_path / "photos" / "pear" / f"{number:02}.png") for number in range(20)]
    _, start, decoding = code.partition("# Of image files")
    lines = [line.removeprefix("# ") for line in f"{start}{decoding}".splitlines()]
    head, _, _ = code.partition(start)
    found, scores = run_alone("\n".join([head, f"paths = {paths!r}", *lines[1:]]))
    assert found == labels
    scores = np.exp(scores - np.max(scores, axis=1, keepdims=True))
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), probabilities, rtol=0, atol=1e-5)
