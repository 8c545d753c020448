"""The evaluation of stored runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mlcli.engines.torch.engine import TorchEngine
from mlcli.errors import UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate, write_scores


@pytest.mark.parametrize("name", ["digits_run", "iris_run", "forest_run"])
def test_the_scores_equal_those_that_the_run_reported(name, request):
    run = request.getfixturevalue(name)
    evaluation = evaluate(run, EvaluateRequest("", threads=1)).evaluation
    assert evaluation.metrics == run.record.metrics["test"] == evaluation.reported
    assert (evaluation.backend, evaluation.split, evaluation.dataset) == (
        run.record.backend,
        "test",
        run.record.dataset,
    )
    assert not any("reported" in note for note in evaluation.notes)


def test_metrics_confusion_matrix_classes_and_mistakes_agree(digits_run):
    result = evaluate(digits_run, EvaluateRequest("", n_misclassified=5, threads=1))
    evaluation = result.evaluation
    n_samples, n_correct = evaluation.confusion.sum(), evaluation.confusion.trace()
    assert n_samples == evaluation.metrics.n_samples == len(result.samples)
    assert n_correct / n_samples == evaluation.metrics.accuracy
    assert n_samples - n_correct == evaluation.n_mistakes
    assert sum(scores.n_samples for scores in evaluation.classes) == n_samples
    assert [scores.name for scores in evaluation.classes] == list("0123456789")
    assert len(evaluation.mistakes) == min(5, evaluation.n_mistakes)
    for mistake in evaluation.mistakes:
        assert result.samples.y[mistake.index] == mistake.true != mistake.predicted
        assert result.scores.labels[mistake.index] == mistake.predicted
    assert sum(part.n_samples for part in evaluation.calibration.bins) == n_samples


def test_the_scores_of_every_sample_are_written_as_the_engine_returned_them(digits, tmp_path):
    write_scores(digits, tmp_path / "scores.csv")
    frame = pd.read_csv(tmp_path / "scores.csv")
    assert frame["index"].tolist() == list(range(len(digits.samples)))
    assert np.array_equal(frame["label"], digits.samples.y)
    assert np.array_equal(frame["prediction"], digits.scores.labels)
    for kind in ("logit", "probability"):
        expected = getattr(digits.scores, {"logit": "logits", "probability": "probabilities"}[kind])
        found = frame[[f"{kind}_{name}" for name in "0123456789"]].to_numpy(dtype=np.float32)
        assert np.array_equal(found, expected)
    assert (frame["label"] == frame["prediction"]).mean() == digits.evaluation.metrics.accuracy


def test_an_estimator_without_logits_has_probabilities_only(forest_run, tmp_path):
    write_scores(evaluate(forest_run, EvaluateRequest("", threads=1)), tmp_path / "scores.csv")
    names = pd.read_csv(tmp_path / "scores.csv").columns
    found = [name for name in names if name.startswith(("logit", "probability"))]
    assert found == [f"probability_{name}" for name in ("setosa", "versicolor", "virginica")]


def test_misclassified_rows_of_a_table_have_the_raw_values_of_their_features(iris, digits):
    assert iris.evaluation.mistakes
    for mistake in iris.evaluation.mistakes:
        assert list(mistake.features) == list(iris.preprocessing.feature_names)
        values = np.array(list(mistake.features.values()))
        assert np.array_equal(values, iris.samples.x[mistake.index])
        assert all(round(value, 1) == value for value in mistake.features.values())  # in tenths of a centimetre
    assert digits.evaluation.mistakes[0].features is None


@pytest.mark.parametrize("backend", ["keras", "sklearn"])
def test_another_engine_scores_the_same_weights(digits_run, backend):
    evaluation = evaluate(digits_run, EvaluateRequest("", backend=backend, threads=1)).evaluation
    assert (evaluation.backend, evaluation.trained_on) == (backend, "torch")
    assert evaluation.metrics.accuracy == digits_run.record.metrics["test"].accuracy
    assert evaluation.metrics.loss == pytest.approx(digits_run.record.metrics["test"].loss, rel=1e-5)


def test_the_validation_split_has_the_scores_of_the_last_epoch(digits_run):
    evaluation = evaluate(digits_run, EvaluateRequest("", split="validation", threads=1)).evaluation
    assert evaluation.metrics == digits_run.record.metrics["validation"]
    assert evaluation.reported is None


def test_the_training_split_can_be_scored(digits_run):
    evaluation = evaluate(digits_run, EvaluateRequest("", split="train", threads=1)).evaluation
    assert evaluation.metrics.n_samples == len(digits_run.load_dataset().train)


def test_a_missing_validation_split_is_a_usage_error(iris_run):
    with pytest.raises(UsageError, match="the run has no validation split"):
        evaluate(iris_run, EvaluateRequest("", split="validation"))


def test_any_batch_size_gives_the_same_labels(digits_run, monkeypatch):
    whole = evaluate(digits_run, EvaluateRequest("", threads=1))
    sizes = []
    predict = TorchEngine.predict

    def spied(self, x, batch_size=1024):
        sizes.append(batch_size)
        return predict(self, x, batch_size)

    monkeypatch.setattr(TorchEngine, "predict", spied)
    pieces = evaluate(digits_run, EvaluateRequest("", batch_size=7, threads=1))
    assert np.array_equal(whole.scores.labels, pieces.scores.labels)
    assert pieces.evaluation.time.batch_size == 7
    assert sizes == [7] * 6


def test_a_score_that_differs_from_the_reported_one_is_noted(digits_run):
    reported = replace(digits_run.record.metrics["test"], accuracy=0.5)
    record = replace(digits_run.record, metrics={**digits_run.record.metrics, "test": reported})
    evaluation = evaluate(replace(digits_run, record=record), EvaluateRequest("", threads=1)).evaluation
    assert any("the run reported 0.5" in note for note in evaluation.notes)


def test_other_data_is_noted_and_not_compared_with_the_reported_score(digits_run):
    record = replace(digits_run.record, digests={**digits_run.record.digests, "dataset": "f" * 64})
    evaluation = evaluate(replace(digits_run, record=record), EvaluateRequest("", threads=1)).evaluation
    assert evaluation.reported is None
    assert any("not the data of the run" in note for note in evaluation.notes)


def test_warm_calls_are_timed_separately_from_the_first(digits_run):
    time = evaluate(digits_run, EvaluateRequest("", threads=1)).evaluation.time
    assert len(time.warm_seconds) == 5
    assert sorted(time.warm_seconds)[2] == time.median_seconds
    assert time.first_seconds > 0


@pytest.mark.images
def test_a_run_can_be_evaluated_on_another_dataset_of_the_same_shape(image_data_dir, tmp_path):
    """A model of Fashion-MNIST can be evaluated on MNIST, with a note that the classes differ."""
    from mlcli.config.schema import ExperimentConfig
    from mlcli.experiment.plan import make_plan
    from mlcli.experiment.stored_run import open_run
    from mlcli.runs.find import find_run
    from mlcli.train.report import QuietProgress
    from mlcli.train.trainer import RunPaths, train

    settings = {
        "backend": "torch",
        "dataset": {"name": "fashion", "limit": 500},
        "model": {"name": "logistic"},
        "training": {"epochs": 1},
    }
    paths = RunPaths(tmp_path, data_directory=image_data_dir, offline=True)
    train(make_plan(ExperimentConfig.model_validate(settings)), paths, 1, QuietProgress(show_notes=False))
    request = EvaluateRequest("", dataset="mnist", data_dir=image_data_dir, offline=True, threads=1)
    evaluation = evaluate(open_run(find_run("last", tmp_path)), request).evaluation
    assert (evaluation.dataset, evaluation.metrics.n_samples) == ("mnist", 10_000)
    assert any("the class names of mnist differ from those of fashion" in note for note in evaluation.notes)
    assert evaluation.reported is None
