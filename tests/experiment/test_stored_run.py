"""A finished run is verified and rebuilt in any engine, with its preprocessing."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import skops.io
from safetensors.numpy import save

from mlcli.engines.sklearn.stored import load_estimator
from mlcli.errors import DataError, UsageError
from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run
from mlcli.runs.reader import VerifiedFiles


def test_the_stored_weights_give_the_scores_of_the_test_split(digits_run):
    weights = digits_run.weights()
    assert list(weights) == list(digits_run.network.parameter_shapes())
    x = digits_run.load_dataset().test.x.reshape(-1, 64) / np.float32(16)
    first, second = (name.removesuffix(".weight") for name in weights if name.endswith(".weight"))
    hidden = np.maximum(x @ weights[f"{first}.weight"].T + weights[f"{first}.bias"], 0)
    logits = hidden @ weights[f"{second}.weight"].T + weights[f"{second}.bias"]
    np.testing.assert_allclose(logits, digits_run.files.predictions()["logits"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_every_engine_gives_the_scores_of_the_run(digits_run, backend):
    scores = digits_run.build_engine(backend, threads=1).predict(digits_run.load_dataset().test.x)
    stored = digits_run.files.predictions()
    assert np.array_equal(scores.labels, stored["labels"])
    np.testing.assert_allclose(scores.logits, stored["logits"], rtol=1e-5, atol=1e-5)


def test_an_estimator_gives_the_scores_of_the_run(forest_run):
    scores = forest_run.build_engine().predict(forest_run.load_dataset().test.x)
    assert np.array_equal(scores.probabilities, forest_run.files.predictions()["probabilities"])
    assert forest_run.files.estimator()
    with pytest.raises(UsageError, match="has no weights; it is an estimator"):
        forest_run.weights()


def test_a_model_that_an_engine_does_not_have_is_refused_with_what_is_possible(forest_run):
    with pytest.raises(UsageError, match="estimator runs with --backend sklearn"):
        forest_run.build_engine("torch")


def test_an_estimator_of_another_kind_is_not_created():
    data = skops.io.dumps(io.StringIO)
    with pytest.raises(DataError, match="types that are not trusted"):
        load_estimator(data)


@pytest.mark.parametrize("data", [b"", b"\x80\x04N.", b"PK\x03\x04 not a zip"])
def test_bytes_that_are_no_estimator_are_refused(data):
    with pytest.raises(DataError, match="cannot be read"):
        load_estimator(data)


def test_another_estimator_than_the_configuration_names_is_refused(iris_run, forest_run):
    config = forest_run.config
    other = config.model_copy(update={"model": config.model.model_copy(update={"estimator": "SVC"})})
    with pytest.raises(DataError, match="is a RandomForestClassifier, expected SVC"):
        replace(forest_run, config=other).build_engine()


class TestWeightsThatDoNotFit:
    @pytest.fixture
    def broken(self, digits_run, digits_copy):
        def make(change):
            weights = digits_run.weights()
            change(weights)
            (digits_copy / "weights.safetensors").write_bytes(save(weights))
            (digits_copy / "manifest.json").unlink()
            from mlcli.runs.directory import RunDirectory

            RunDirectory(digits_copy).finish(digits_run.record)
            return open_run(find_run(str(digits_copy), digits_copy.parent))

        return make

    def test_a_missing_array_is_refused(self, broken):
        with pytest.raises(DataError, match=r"1\.bias is missing"):
            broken(lambda weights: weights.pop("1.bias")).weights()

    def test_an_array_of_another_shape_is_refused(self, broken):
        with pytest.raises(DataError, match=r"1\.bias has shape \(3,\), expected \(32,\)"):
            broken(lambda weights: weights.update({"1.bias": np.zeros(3, np.float32)})).weights()

    def test_values_that_are_not_finite_are_refused(self, broken):
        with pytest.raises(DataError, match=r"1\.bias has values that are not finite"):
            broken(lambda weights: weights["1.bias"].fill(np.nan)).weights()

    def test_an_array_of_another_type_is_refused(self, broken):
        with pytest.raises(DataError, match=r"1\.bias is int32"):
            broken(lambda weights: weights.update({"1.bias": np.zeros(32, np.int32)})).weights()


def test_a_run_without_a_record_is_unfinished(digits_copy):
    (digits_copy / "metrics.json").unlink()
    with pytest.raises(UsageError, match="is unfinished"):
        open_run(find_run(str(digits_copy), digits_copy.parent))


def test_a_run_that_failed_is_refused_with_its_reason(digits_copy, digits_run):
    from mlcli.runs.directory import RunDirectory

    RunDirectory(digits_copy).finish(replace(digits_run.record, status="diverged", error="the loss became nan"))
    with pytest.raises(UsageError, match="is diverged: the loss became nan"):
        open_run(find_run(str(digits_copy), digits_copy.parent))


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"schema_version": 1}'])
def test_a_record_that_cannot_be_read_is_bad_data(digits_copy, text):
    (digits_copy / "metrics.json").write_text(text)
    with pytest.raises(DataError, match=r"metrics\.json"):
        open_run(find_run(str(digits_copy), digits_copy.parent))


def test_the_environment_does_not_change_a_stored_configuration(stored_runs, monkeypatch, digits_run):
    monkeypatch.setenv("MLCLI_SEED", "99")
    monkeypatch.setenv("MLCLI_BACKEND", "keras")
    assert open_run(find_run("20260101T000000Z_digits", stored_runs)).config == digits_run.config


def test_the_dataset_of_the_run_is_recognised(digits_run):
    dataset = digits_run.load_dataset()
    assert digits_run.is_trained_on(dataset)
    assert not any("not the data" in note for note in dataset.notes)


@pytest.mark.parametrize(("part", "note"), [("dataset", "not the data of the run"), ("split", "the split differs")])
def test_other_data_are_noticed(digits_run, part, note):
    other = replace(digits_run.record, digests={**digits_run.record.digests, part: "0" * 64})
    run = replace(digits_run, record=other)
    dataset = run.load_dataset()
    assert not run.is_trained_on(dataset)
    assert any(note in text for text in dataset.notes)


def test_the_scaling_is_that_of_the_run_whatever_the_data_are(iris_run):
    dataset = iris_run.load_dataset()
    assert np.array_equal(dataset.scaling.shift, iris_run.preprocessing.scaling.shift)
    np.testing.assert_allclose(dataset.scaling.shift, dataset.train.x.mean(0), rtol=1e-6)


def test_a_dataset_of_another_shape_is_refused(digits_run):
    with pytest.raises(UsageError, match="shape 4 in 3 classes.*trained on samples of shape 1x8x8 in 10"):
        digits_run.load_dataset("iris")


def test_the_files_are_verified_when_a_run_is_opened(digits_copy):
    (digits_copy / "log.txt").write_text("something else")
    with pytest.raises(DataError, match=r"log\.txt was altered"):
        open_run(find_run(str(digits_copy), digits_copy.parent))


def test_preprocessing_is_part_of_the_manifest(digits_run):
    assert isinstance(digits_run.files, VerifiedFiles)
    assert digits_run.preprocessing.value_range == (0.0, 16.0)
    assert digits_run.preprocessing.class_names == tuple("0123456789")
