"""Runs in float64 see tables in float64: their results on iris are those of scikit-learn and numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn.metrics
from scipy.special import log_softmax
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mlcli.config.experiment import load_experiment
from mlcli.data.load import load_dataset
from mlcli.engines.registry import build_engine
from mlcli.experiment.initial_weights import initial_weights
from mlcli.experiment.plan import engine_spec, make_plan
from mlcli.metrics.scores import log_loss


def iris_engine(backend, *settings, precision="float64"):
    """Return the dataset, the engine with the training split placed, and the initial weights."""
    flags = {"backend": backend, "dataset.name": "iris", "runtime.precision": precision}
    plan = make_plan(load_experiment(None, flags=flags, settings=settings, environ={}))
    dataset, weights = load_dataset(plan.config.dataset), initial_weights(plan)
    engine = build_engine(backend, engine_spec(plan, dataset, threads=1), weights)
    engine.place(dataset.train.x, dataset.train.y)
    return dataset, engine, weights


def test_logistic_regression_is_that_of_scikit_learn():
    dataset, engine, _ = iris_engine("sklearn", "model.name=logistic", "optimizer.weight_decay=0.01")
    engine.fit()
    n = len(dataset.train)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=1 / (n * 0.01), max_iter=100))
    theirs.fit(dataset.train.x, dataset.train.y)
    found = engine.weights()
    np.testing.assert_allclose(found["1.weight"], theirs[-1].coef_, rtol=1e-12)
    np.testing.assert_allclose(found["1.bias"], theirs[-1].intercept_, rtol=1e-12)
    scores = engine.predict(dataset.test.x)
    np.testing.assert_allclose(scores.probabilities, theirs.predict_proba(dataset.test.x), rtol=0, atol=1e-12)
    expected = sklearn.metrics.log_loss(dataset.test.y, theirs.predict_proba(dataset.test.x))
    assert log_loss(scores, dataset.test.y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("scaling", ["standard", "unit", "none"])
@pytest.mark.parametrize("backend", ["sklearn", "torch", "keras"])
def test_the_loss_of_a_step_and_the_scores_are_those_of_float64_data(backend, scaling):
    dataset, engine, weights = iris_engine(
        backend, "model.name=mlp", "model.hidden=[8]", "model.activation=tanh", f"dataset.scaling={scaling}",
        "training.batch_size=100",
    )  # fmt: skip

    def logits(x):
        if scaling == "standard":
            x = StandardScaler().fit(dataset.train.x).transform(x)
        elif scaling == "unit":
            x = (x - dataset.train.x.min(axis=0)) / np.ptp(dataset.train.x, axis=0)
        hidden = np.tanh(x @ weights["1.weight"].T + weights["1.bias"])
        return hidden @ weights["3.weight"].T + weights["3.bias"]

    np.testing.assert_allclose(engine.predict(dataset.test.x).logits, logits(dataset.test.x), rtol=0, atol=1e-13)
    order = np.arange(len(dataset.train))
    batch = order[:100]
    result = engine.train_steps(batch, np.array([0.1]))
    expected = -log_softmax(logits(dataset.train.x[batch]), axis=1)[batch, dataset.train.y[batch]].mean()
    assert result.loss == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("backend", ["sklearn", "torch", "keras"])
def test_float32_rounds_the_scaled_table_once(backend):
    dataset, engine, _ = iris_engine(backend, "model.name=mlp", "model.hidden=[8]", precision="float32")
    expected = ((dataset.test.x - dataset.scaling.shift) / dataset.scaling.scale).astype(np.float32)
    if backend == "sklearn":
        found = engine.matrix(dataset.test.x)
    else:
        import torch

        found = engine.scaled(engine.on_device(torch.from_numpy(dataset.test.x))).numpy()
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)
