"""On six tables, models predict what hand-written pipelines of scikit-learn do, and engines take the same steps."""

from __future__ import annotations

import importlib
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_wine
from sklearn.exceptions import ConvergenceWarning

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.data.load import load_dataset
from mlcli.engines.registry import build_engine
from mlcli.experiment.plan import engine_spec, make_plan
from mlcli.parity import ParityRequest
from mlcli.parity.parity import check_parity
from tests.fixtures.tables import TABLES, codes_by_hand, pipeline_by_hand, rows_of_labels

# Of a table, the target and the columns that are texts; and those that are ignored, because no value is frequent.
OWN = {
    "penguins": ("species", ["island", "sex"], []),
    "mpg": ("class", ["manufacturer", "model", "trans", "drv", "fl"], []),
    "msleep": ("vore", ["order", "conservation"], ["name", "genus"]),
    "diamonds": ("cut", ["color", "clarity"], []),
}
KNOWN = {"wine": load_wine, "breast_cancer": load_breast_cancer}
MODELS = {
    "logistic": ("linear_model", "LogisticRegression", {"max_iter": 2000, "tol": 1e-8}),
    "forest": ("ensemble", "RandomForestClassifier", {"n_estimators": 10}),
    "boosting": ("ensemble", "HistGradientBoostingClassifier", {"max_iter": 10}),
    "mlp": ("neural_network", "MLPClassifier", {"hidden_layer_sizes": [8], "max_iter": 20}),
}


def dataset_settings(name):
    return {"path": str(TABLES / f"{name}.csv"), "target": OWN[name][0]} if name in OWN else {"name": name}


def scores_of_mlcli(name, model):
    """Return the labels and the probabilities of the test samples, by mlcli in float64."""
    _, estimator, parameters = MODELS[model]
    described = {"name": "estimator", "estimator": estimator, "parameters": parameters}
    optimizer = None
    if model == "logistic":
        described = {"name": "logistic"}
        optimizer = {"name": "lbfgs", "max_iter": parameters["max_iter"], "tolerance": parameters["tol"]}
    settings = {"dataset": dataset_settings(name), "model": described, "optimizer": optimizer}
    plan = make_plan(
        ExperimentConfig.model_validate({"backend": "sklearn", "runtime": {"precision": "float64"}, **settings})
    )
    dataset = load_dataset(plan.config.dataset)
    engine = build_engine("sklearn", engine_spec(plan, dataset, 1), None)
    engine.place(dataset.train.x, dataset.train.y)
    engine.fit()
    scores = engine.predict(dataset.test.x)
    return scores.labels, scores.probabilities


def scores_by_hand(name, model):
    """Return the same of a pipeline that is written with pandas and scikit-learn alone, except for the split."""
    module, estimator, parameters = MODELS[model]
    classifier = getattr(importlib.import_module(f"sklearn.{module}"), estimator)(**parameters, random_state=0)
    rows, y, transformer = prepared_by_hand(name, model)
    train, test = rows_of_labels(y)
    if model == "boosting" and name in OWN:
        transformer = codes_by_hand(rows, OWN[name][1])
        classifier.set_params(categorical_features=[column in OWN[name][1] for column in rows])
    classifier.fit(transformer.fit_transform(rows.iloc[train]), y[train])
    x = transformer.transform(rows.iloc[test])
    return classifier.predict(x), classifier.predict_proba(x)


def prepared_by_hand(name, model):
    """Return the rows, the classes as numbers, and the transformer."""
    if name in KNOWN:
        from sklearn.preprocessing import StandardScaler

        return *KNOWN[name](return_X_y=True, as_frame=True), StandardScaler()
    target, texts, ignored = OWN[name]
    path = TABLES / f"{name}.csv"
    rows, transformer = pipeline_by_hand(path, target, texts, ignored)
    return rows, pd.read_csv(path)[target].astype("category").cat.codes.astype(int), transformer


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", [*OWN, *KNOWN])
def test_predictions_are_those_of_a_pipeline_by_hand(name, model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels, probabilities = scores_of_mlcli(name, model)
        expected_labels, expected_probabilities = scores_by_hand(name, model)
    np.testing.assert_array_equal(labels, expected_labels)
    np.testing.assert_allclose(probabilities, expected_probabilities, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", [*OWN, *KNOWN])
def test_torch_and_keras_take_the_same_steps_in_float64(name):
    flags = {f"dataset.{key}": value for key, value in dataset_settings(name).items()}
    settings = ["model.hidden=[8]", "training.class_weight=balanced"]
    experiments = {
        backend: load_experiment(None, flags={"backend": backend, **flags}, settings=settings, environ={})
        for backend in ("torch", "keras")
    }
    (pair,) = check_parity(experiments, ParityRequest("", n_steps=10), threads=1).pairs
    assert pair.verdict == "equal"
    assert len(pair.steps) == 10
    assert max(max(step.loss_difference, step.weight_difference) for step in pair.steps) <= 1e-8
