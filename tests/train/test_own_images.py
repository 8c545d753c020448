"""Runs on a person's own folder of images: everything a run on known data can do."""

from __future__ import annotations

import csv
import json
import shutil

import numpy as np
import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.errors import DataError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.predict import PredictRequest
from mlcli.predict.predict import predict
from mlcli.runs.directory import RunDirectory
from mlcli.train.checkpointing import parse_checkpoint_every
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, resume, train
from tests.fixtures.photos import picture, save, write_photos

SILENT = QuietProgress(show_notes=False)
CNN = {"name": "cnn", "channels": (4,), "hidden": 8}


def plan_of(folder, model=CNN, backend="torch", **settings):
    dataset = {"path": str(folder)} | settings.pop("dataset", {})
    settings = {"training": {"epochs": 3, "batch_size": 8}} | settings
    return make_plan(
        ExperimentConfig.model_validate({"backend": backend, "dataset": dataset, "model": model, **settings})
    )


def trained(plan, directory, observer=SILENT):
    train(plan, RunPaths(directory.parent, directory), 1, observer, every=parse_checkpoint_every("1epoch"))
    return open_run(RunDirectory(directory))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of two sizes in three classes and two parts. Tests only read it."""
    folder = tmp_path_factory.mktemp("data") / "photos"
    write_photos(folder, ("cat", "dog", "owl"), n=6, parts=("train", "test"), height=12)
    save(folder / "train" / "cat" / "0.png", picture(0, 0, height=20))
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    """A convolutional network on these images, by torch. Tests only read it."""
    return trained(plan_of(photos, dataset={"image_size": "10x8"}), tmp_path_factory.mktemp("runs") / "run")


def test_the_run_says_how_images_become_samples(run):
    assert run.preprocessing.input_shape == (3, 10, 8)
    assert run.preprocessing.decoding.resize == "bilinear"
    assert json.loads((run.path / "preprocessing.json").read_text())["schema_version"] == 3
    assert "images: colours, resized to 10x8, which --image-size changes (dataset.image_size)" in run.record.notes


def test_predict_gives_for_the_files_what_the_run_gave_for_the_test_images(run, photos, tmp_path):
    stored = run.files.predictions()
    for label, name in enumerate(("cat", "dog", "owl")):
        request = PredictRequest("", photos / "test" / name, tmp_path / f"{name}.csv", threads=1)
        predict(run, request, lambda *_: None)
        with request.output.open() as file:
            rows = list(csv.DictReader(file))
        assert [row["file"] for row in rows] == ["0.png", "1.jpg", "2.webp", "3.bmp", "4.tif", "5.gif"]
        found = [[float(row[f"probability_{one}"]) for one in ("cat", "dog", "owl")] for row in rows]
        np.testing.assert_allclose(found, stored["probabilities"][stored["y"] == label], atol=1e-6)


def test_evaluate_repeats_the_score_and_scores_another_folder(run, photos, tmp_path):
    assert evaluate(run, EvaluateRequest("", threads=1)).evaluation.reported == run.record.metrics["test"]
    moved = shutil.copytree(photos, tmp_path / "moved")
    shutil.rmtree(moved / "test" / "owl")
    result = evaluate(run, EvaluateRequest("", threads=1, data=moved)).evaluation
    assert (result.metrics.n_samples, result.reported) == (12, None)
    write_photos(moved, ("wolf",), n=1, parts=("test",))
    with pytest.raises(DataError, match="folders that are no classes of the run: 'wolf'"):
        evaluate(run, EvaluateRequest("", threads=1, data=moved))
    with pytest.raises(UsageError, match="the run was trained on a folder of images; name a folder"):
        evaluate(run, EvaluateRequest("", threads=1, data=photos / "train" / "cat" / "0.png"))


def test_the_exported_model_comes_with_the_code_that_decodes_images(run, photos, tmp_path):
    conversion = convert(run, ConvertRequest("", "torch", tmp_path / "model.safetensors", threads=1))
    assert conversion.n_changed == 0
    names = {"paths": [photos / "test" / "dog" / name for name in ("0.png", "1.jpg", "5.gif")]}
    code = [line.removeprefix("# ") for line in conversion.usage.splitlines() if not line.startswith(("# x:", "# Of"))]
    exec("\n".join(code), names)
    stored = run.files.predictions()
    expected = stored["logits"][stored["y"] == 1][[0, 1, 5]]
    np.testing.assert_allclose(names["scores"].numpy(), expected, atol=1e-4)


class _Stopping(QuietProgress):
    def on_epoch(self, record, n_epochs):
        if record.epoch == 2:
            raise KeyboardInterrupt


def test_a_run_resumes_bit_identical_and_not_with_an_altered_image(run, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    settings = {"dataset": {"image_size": "10x8"}}
    for name in ("a", "b"):
        with pytest.raises(KeyboardInterrupt):
            trained(plan_of(folder, **settings), tmp_path / name, _Stopping(show_notes=False))
    resume(RunDirectory(tmp_path / "a"), plan_of(folder, **settings), RunPaths(tmp_path), 1, SILENT)
    resumed = open_run(RunDirectory(tmp_path / "a"))
    assert resumed.record.digests == run.record.digests
    save(folder / "train" / "dog" / "0.png", picture(2, 7, height=12))
    with pytest.raises(DataError, match="cannot be resumed: the dataset has changed since the run started"):
        resume(RunDirectory(tmp_path / "b"), plan_of(folder, **settings), RunPaths(tmp_path), 1, SILENT)


@pytest.mark.parametrize("model", [{"name": "logistic"}, {"name": "mlp", "hidden": (4,)}])
def test_models_of_flat_samples_take_colours(model, photos, tmp_path):
    training = {} if model["name"] == "logistic" else {"training": {"epochs": 2}}
    settings = {"training": {}, "dataset": {"image_size": 8}} | training
    run = trained(plan_of(photos, model, "sklearn", **settings), tmp_path / "run")
    assert next(iter(run.weights().values())).shape[1] == 3 * 8 * 8


def test_engines_take_the_same_steps_on_colours(photos, cli):
    arguments = ("--data", str(photos), "--image-size", "8", "--model", "cnn", "--set", "model.channels=[4]")
    done = cli("parity", *arguments, "--backend", "torch,keras", "--steps", "3", "--format", "json")
    assert done.returncode == 0, done.stderr
    assert [pair["verdict"] for pair in json.loads(done.stdout)["pairs"]] == ["equal"]


def test_damaged_images_leave_no_run_unless_they_are_skipped(photos, tmp_path, cli):
    folder = shutil.copytree(photos, tmp_path / "photos")
    (folder / "train" / "cat" / "bad.png").write_text("")
    arguments = ("train", "--data", "photos", "--model", "logistic", "--backend", "sklearn")
    done = cli(*arguments)
    assert done.returncode == 3
    assert "1 damaged image: train/cat/bad.png (not an image of a known format)" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
    done = cli(*arguments, "--on-bad", "skip", "--image-size", "8")
    assert done.returncode == 0, done.stderr
    assert "note: skipped 1 damaged image: train/cat/bad.png" in done.stderr
