"""The log loss of every kind of estimator is that of scikit-learn in float64, on real data."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pytest
import sklearn.metrics
from sklearn.datasets import load_breast_cancer, load_digits, load_iris

from mlcli.config.schema import EstimatorModel
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.engines.sklearn.composition import classifiers
from mlcli.metrics.scores import log_loss
from mlcli.records import Scaling

DATA = {"iris": load_iris, "digits": load_digits, "breast_cancer": load_breast_cancer}
SCALING, RUNTIME = Scaling("none"), EngineRuntime()
OVERCONFIDENT = ("DecisionTreeClassifier", "GaussianNB", "KNeighborsClassifier", "RandomForestClassifier")


QUICK = {  # settings of those that would take seconds
    "GradientBoostingClassifier": {"n_estimators": 10},
    "HistGradientBoostingClassifier": {"max_iter": 5},
    "LogisticRegressionCV": {"Cs": 2, "cv": 2, "max_iter": 20},
}


def kinds():
    """Return the names of all classifiers that can be made without naming another estimator."""
    known = {name: inspect.signature(kind).parameters for name, kind in classifiers().items() if hasattr(kind, "fit")}
    return [
        name
        for name, parameters in known.items()
        if name != "SelfTrainingClassifier" and all(one.default is not one.empty for one in parameters.values())
    ]


def fitted(name, dataset):
    """Return an engine fitted to every other sample, and the rest of the samples."""
    x, y = DATA[dataset](return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x, y = x[order], y[order].astype(np.int64)
    model = EstimatorModel(estimator=name, parameters=QUICK.get(name, {}))
    engine = build_engine("sklearn", EngineSpec(model, None, int(y.max()) + 1, None, None, SCALING, RUNTIME), None)
    engine.place(x[::2], y[::2])
    engine.fit()
    return engine, x[1::2], y[1::2]


def check(engine, x, y):
    scores = engine.predict(x, batch_size=50)
    if scores.probabilities is None:
        assert log_loss(scores, y) is None
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # rows of float32 probabilities do not sum to 1 in float64
        probabilities = np.concatenate(
            [engine.forward(engine.matrix(x[start : start + 50])) for start in range(0, len(x), 50)]
        ).astype(np.float64)
        expected = sklearn.metrics.log_loss(y, probabilities, labels=range(probabilities.shape[1]))
    assert scores.probabilities.dtype == np.float64
    assert log_loss(scores, y) == pytest.approx(expected, rel=1e-12)
    return expected


@pytest.mark.parametrize("name", kinds())
def test_the_loss_of_every_estimator_is_that_of_scikit_learn(name):
    check(*fitted(name, "iris"))


@pytest.mark.parametrize("dataset", DATA)
@pytest.mark.parametrize("name", OVERCONFIDENT)
def test_the_loss_is_that_of_scikit_learn_where_wrong_classes_have_probability_one(name, dataset):
    assert check(*fitted(name, dataset)) is not None
