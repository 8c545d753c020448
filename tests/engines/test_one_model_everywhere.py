"""Weights are converted between engines so that a run predicts the same in every engine.

`nn.Linear.weight` is the transpose of `Dense.kernel` and has the orientation of `coef_`.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression

from mlcli.config.experiment import load_experiment
from mlcli.experiment.plan import make_plan
from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run
from mlcli.train.trainer import RunPaths, train

DATASETS = ["digits", *(pytest.param(name, marks=pytest.mark.images) for name in ("mnist", "fashion"))]
MLP = {"model.hidden": [64], "training.epochs": 1}
LOGISTIC = {"model.name": "logistic", "optimizer.max_iter": 15}
N_TRAIN = 4000  # of the images; the test sets are whole


class Silence:
    def __getattr__(self, name):
        return lambda *arguments: None


@pytest.fixture
def trained(tmp_path, request):
    """Train a run, and return it with its test samples."""

    def train_and_open(backend, dataset, flags):
        data_directory = None
        if dataset in ("mnist", "fashion"):
            data_directory = request.getfixturevalue("image_data_dir")
            flags = {**flags, "dataset.limit": N_TRAIN}
        flags = {"backend": backend, "dataset.name": dataset, **flags}
        plan = make_plan(load_experiment(None, flags=flags, environ={}))
        result = train(plan, RunPaths(tmp_path, data_directory=data_directory), 1, Silence())
        run = open_run(find_run(str(result.directory), tmp_path))
        return run, run.load_dataset(data_directory=data_directory).test

    return train_and_open


def assert_same_scores(found, expected):
    """Check that scores agree within 1e-5 of the largest score of the sample, and that predicted classes are equal."""
    size = np.abs(expected.logits).max(axis=1, keepdims=True)
    assert (np.abs(found.logits - expected.logits) / size).max() < 1e-5
    assert (found.labels != expected.labels).sum() == 0
    np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)


@pytest.mark.parametrize("dataset", DATASETS)
def test_torch_to_keras_and_back(trained, dataset):
    run, test = trained("torch", dataset, MLP)
    reported = run.files.predictions()
    own, keras = run.build_engine(), run.build_engine("keras")
    expected = own.predict(test.x)
    np.testing.assert_array_equal(expected.labels, reported["labels"])
    assert_same_scores(keras.predict(test.x), expected)

    again = run.build_engine("torch")
    again.load_weights({name: np.zeros_like(array) for name, array in own.weights().items()})
    again.load_weights(keras.weights())
    for name, array in run.weights().items():
        np.testing.assert_array_equal(again.weights()[name], array)
    np.testing.assert_array_equal(again.predict(test.x).logits, expected.logits)


@pytest.mark.parametrize("dataset", DATASETS)
def test_logistic_regression_from_sklearn_to_torch_to_keras(trained, dataset):
    run, test = trained("sklearn", dataset, LOGISTIC)
    expected = run.build_engine().predict(test.x)
    np.testing.assert_array_equal(expected.labels, run.files.predictions()["labels"])
    torch, keras = run.build_engine("torch"), run.build_engine("keras")
    assert_same_scores(torch.predict(test.x), expected)
    keras.load_weights(torch.weights())
    assert_same_scores(keras.predict(test.x), expected)


def test_iris_by_hand_from_the_stored_weights(trained):
    """scikit-learn computes nothing but a matrix product with the stored W and b, a softmax and an argmax."""
    flags = {"model.name": "logistic", "optimizer.weight_decay": 0.01, "runtime.precision": "float64"}
    run, test = trained("sklearn", "iris", flags)
    dataset = run.load_dataset()
    scaling = run.preprocessing.scaling
    X = (test.x.astype(np.float64) - scaling.shift) / scaling.scale
    W, b = run.weights().values()

    train_x = (dataset.train.x.astype(np.float64) - scaling.shift) / scaling.scale
    fitted = LogisticRegression(C=1 / (len(train_x) * 0.01), max_iter=100, tol=1e-4).fit(train_x, dataset.train.y)
    np.testing.assert_array_equal(W, fitted.coef_)
    np.testing.assert_array_equal(b, fitted.intercept_)

    logits = X @ W.T + b
    np.testing.assert_allclose(logits, fitted.decision_function(X), rtol=1e-14)
    np.testing.assert_allclose(softmax(logits, axis=1), fitted.predict_proba(X), rtol=1e-13)
    np.testing.assert_array_equal(logits.argmax(axis=1), fitted.predict(X))
    np.testing.assert_array_equal(logits.argmax(axis=1), run.files.predictions()["labels"])
