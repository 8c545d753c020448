"""Classifiers of scikit-learn with balanced classes: the same as by hand, or refused before anything is trained."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier, VotingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier, ExtraTreeClassifier
from sklearn.utils.class_weight import compute_sample_weight

from mlcli.config.schema import EstimatorModel, ExperimentConfig
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.errors import UsageError
from mlcli.experiment.plan import make_plan
from mlcli.models.class_weights import balanced_class_weights
from mlcli.records import Scaling

SCALED_BAYES = {"estimator": "Pipeline", "parameters": {"steps": ["StandardScaler", "GaussianNB"]}}
SMALL_TREE = {"estimator": "DecisionTreeClassifier", "parameters": {"max_depth": 2}}


@pytest.fixture(scope="module")
def wine():
    """130 wines, of which the classes have 59, 64 and 7."""
    x, y = load_wine(return_X_y=True)
    kept = (y < 2) | (np.arange(len(y)) % 7 == 0)
    return x[kept], y[kept]


def probabilities(name, parameters, x, y, *, balanced):
    model, runtime = EstimatorModel(estimator=name, parameters=parameters), EngineRuntime(precision="float64")
    class_weights = balanced_class_weights(y, 3) if balanced else None
    engine = build_engine(
        "sklearn", EngineSpec(model, None, 3, None, None, Scaling("none"), runtime, class_weights), None
    )
    engine.place(x, y)
    engine.fit()
    return engine.predict(x).probabilities


BALANCED = {
    "class_weight": (
        *("RandomForestClassifier", {"n_estimators": 5}),
        lambda x, y, w: RandomForestClassifier(5, class_weight="balanced", random_state=0).fit(x, y),
    ),
    "class_weight in members": (
        *("VotingClassifier", {"voting": "soft", "estimators": [SMALL_TREE, "ExtraTreeClassifier"]}),
        lambda x, y, w: _balanced_vote().fit(x, y),
    ),
    "weights of samples": (*("GaussianNB", {}), lambda x, y, w: GaussianNB().fit(x, y, sample_weight=w)),
    "weights of samples in a pipeline": (
        *("Pipeline", {"steps": ["StandardScaler", "GaussianNB"]}),
        lambda x, y, w: make_pipeline(StandardScaler(), GaussianNB()).fit(x, y, gaussiannb__sample_weight=w),
    ),
    "weights of samples in a search": (
        *(
            "GridSearchCV",
            {"estimator": SCALED_BAYES, "param_grid": {"gaussiannb__var_smoothing": [1e-9, 0.1]}, "cv": 3},
        ),
        lambda x, y, w: GridSearchCV(
            make_pipeline(StandardScaler(), GaussianNB()), {"gaussiannb__var_smoothing": [1e-9, 0.1]}, cv=3
        ).fit(x, y, gaussiannb__sample_weight=w),
    ),
    "weights of samples in boosting": (
        *("AdaBoostClassifier", {"estimator": SMALL_TREE, "n_estimators": 5}),
        lambda x, y, w: AdaBoostClassifier(
            DecisionTreeClassifier(max_depth=2, random_state=0), n_estimators=5, random_state=0
        ).fit(x, y, sample_weight=w),
    ),
}


def _balanced_vote():
    tree = DecisionTreeClassifier(max_depth=2, class_weight="balanced", random_state=0)
    random_tree = ExtraTreeClassifier(class_weight="balanced", random_state=0)
    return VotingClassifier([("tree", tree), ("random_tree", random_tree)], voting="soft")


@pytest.mark.parametrize(("name", "parameters", "by_hand"), BALANCED.values(), ids=BALANCED)
def test_a_balanced_classifier_is_that_of_scikit_learn(name, parameters, by_hand, wine):
    x, y = wine
    found = probabilities(name, parameters, x, y, balanced=True)
    np.testing.assert_array_equal(found, by_hand(x, y, compute_sample_weight("balanced", y)).predict_proba(x))
    assert np.abs(found - probabilities(name, parameters, x, y, balanced=False)).max() > 1e-6


def plan(name, **parameters):
    model = {"name": "estimator", "estimator": name, "parameters": parameters}
    settings = {"backend": "sklearn", "dataset": {"name": "wine"}, "training": {"class_weight": "balanced"}}
    return make_plan(ExperimentConfig.model_validate(settings | {"model": model}))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("KNeighborsClassifier", {}, "KNeighborsClassifier of scikit-learn can weigh neither.*\n.*GaussianNB"),
        ("Pipeline", {"steps": ["PCA", "KNeighborsClassifier"]}, "KNeighborsClassifier of scikit-learn"),
        ("VotingClassifier", {"estimators": ["SVC", "GaussianNB"]}, "a classifier inside VotingClassifier"),
        ("OneVsRestClassifier", {"estimator": "LinearSVC"}, "OneVsRestClassifier"),
        (
            *("GridSearchCV", {"estimator": SCALED_BAYES, "param_grid": {"gaussiannb": [{"estimator": "SVC"}]}}),
            "a classifier inside GridSearchCV",
        ),
        ("SVC", {"class_weight": {0: 5.0}}, "sets class_weight of SVC to .*; remove one of them"),
    ],
)
def test_a_classifier_that_cannot_be_balanced_is_refused_by_the_plan(name, parameters, message):
    with pytest.raises(UsageError, match=message):
        plan(name, **parameters)


def test_candidates_of_a_search_are_balanced_too():
    from mlcli.engines.sklearn.class_weight import balance

    search = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc": [RandomForestClassifier()]})
    assert balance(search) is None
    assert search.param_grid["svc"][0].class_weight == search.estimator[-1].class_weight == "balanced"
