"""Classifiers made of other estimators: from their description to a stored run, or to issues before any is fitted."""

from __future__ import annotations

import warnings
from itertools import chain

import numpy as np
import psutil
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from mlcli.config.experiment import load_experiment
from mlcli.config.schema import EstimatorModel, ExperimentConfig
from mlcli.convert import ConvertRequest
from mlcli.convert.conversion import convert
from mlcli.engines.contract import EngineRuntime, EngineSpec
from mlcli.engines.registry import build_engine
from mlcli.engines.sklearn import composition
from mlcli.engines.sklearn.composition import SCORINGS, TRANSFORMERS, new_estimator
from mlcli.engines.sklearn.stored import load_estimator
from mlcli.errors import ConfigError, UsageError
from mlcli.evaluate import EvaluateRequest
from mlcli.evaluate.evaluate import evaluate
from mlcli.experiment.plan import make_plan, model_issues
from mlcli.experiment.stored_run import open_run
from mlcli.records import Scaling
from mlcli.runs.directory import RunDirectory
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train

SEED = 3
TREE = {"estimator": "DecisionTreeClassifier", "parameters": {"max_depth": 2}}
SMALL_FOREST = {"estimator": "RandomForestClassifier", "parameters": {"n_estimators": 3}}
COMPOSITIONS = {
    "calibrated": ("CalibratedClassifierCV", {"estimator": "LinearSVC"}),
    "calibrated isotonically": ("CalibratedClassifierCV", {"method": "isotonic", "estimator": TREE}),
    "soft vote": ("VotingClassifier", {"voting": "soft", "estimators": ["GaussianNB", SMALL_FOREST]}),
    "hard vote": ("VotingClassifier", {"estimators": ["SVC", "SVC", {"name": "nb", "estimator": "GaussianNB"}]}),
    "stack": ("StackingClassifier", {"estimators": ["SVC", TREE], "final_estimator": "LogisticRegression"}),
    "one versus rest": ("OneVsRestClassifier", {"estimator": "LinearSVC"}),
    "one versus one": ("OneVsOneClassifier", {"estimator": "LinearSVC"}),
    "output codes": ("OutputCodeClassifier", {"estimator": "LogisticRegression"}),
    "bagging": ("BaggingClassifier", {"estimator": "SVC", "n_estimators": 3, "max_features": 0.5}),
    "boosting": ("AdaBoostClassifier", {"estimator": TREE, "n_estimators": 3}),
    "self training": ("SelfTrainingClassifier", {"estimator": "GaussianNB"}),
    "grid search": ("GridSearchCV", {"estimator": "SVC", "param_grid": {"C": [0.1, 1]}}),
    "random search": ("RandomizedSearchCV", {"estimator": "SVC", "param_distributions": {"C": [0.1, 1]}, "n_iter": 2}),
    "search over a pipeline": (
        "GridSearchCV",
        {
            "estimator": {"estimator": "Pipeline", "parameters": {"steps": ["StandardScaler", "SVC"]}},
            "param_grid": {"svc": [{"estimator": "SVC", "parameters": {"C": 3}}, SMALL_FOREST]},
        },
    ),
    "pipeline": ("Pipeline", {"steps": ["StandardScaler", "PCA", "SVC"], "svc__C": 10, "pca__n_components": 2}),
    "pipeline in a pipeline": (
        "Pipeline",
        {
            "steps": [
                {"name": "scale", "estimator": "Pipeline", "parameters": {"steps": ["MinMaxScaler", "passthrough"]}},
                {"name": "union", "estimator": "FeatureUnion", "parameters": {"transformer_list": ["PCA", "Nystroem"]}},
                "GaussianNB",
            ]
        },
    ),
}


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    return x.astype(np.float32), y.astype(np.int64)


def engine_of(name, parameters, threads=1):
    runtime = EngineRuntime(device="cpu", threads=threads, seed=SEED)
    model = EstimatorModel(estimator=name, parameters=parameters)
    spec = EngineSpec(
        model=model,
        network=None,
        n_classes=3,
        optimizer=None,
        batch_size=None,
        scaling=Scaling("none"),
        runtime=runtime,
    )
    return build_engine("sklearn", spec, None)


@pytest.mark.parametrize("composition", COMPOSITIONS.values(), ids=COMPOSITIONS)
def test_a_composition_is_fitted_stored_and_loaded(iris, composition):
    engine = engine_of(*composition)
    engine.place(*iris)
    engine.fit()
    labels = engine.predict(iris[0]).labels
    assert np.mean(labels == iris[1]) > 0.85
    assert np.array_equal(load_estimator(engine.estimator_bytes()).predict(iris[0]), labels)


def test_a_composition_is_what_one_would_write_in_scikit_learn(iris):
    forest = RandomForestClassifier(5, random_state=SEED)
    by_hand = StackingClassifier(
        [("pipeline", make_pipeline(StandardScaler(), PCA(2, random_state=SEED), SVC(C=3, random_state=SEED))),
         ("forest", forest), ("svc", CalibratedClassifierCV(LinearSVC(random_state=SEED)))],
        final_estimator=GridSearchCV(GaussianNB(), {"var_smoothing": [1e-9, 0.1]}),
    )  # fmt: skip
    steps = ["StandardScaler", {"estimator": "PCA", "parameters": {"n_components": 2}}, "SVC"]
    search = {"estimator": "GaussianNB", "param_grid": {"var_smoothing": [1e-9, 0.1]}}
    parameters = {
        "estimators": [
            {"estimator": "Pipeline", "parameters": {"steps": steps, "svc__C": 3}},
            {"name": "forest", "estimator": "RandomForestClassifier"},
            {"name": "svc", "estimator": "CalibratedClassifierCV", "parameters": {"estimator": "LinearSVC"}},
        ],
        "final_estimator": {"estimator": "GridSearchCV", "parameters": search},
        "forest__n_estimators": 5,
    }
    found = new_estimator(EstimatorModel(estimator="StackingClassifier", parameters=parameters), SEED)
    expected = by_hand.fit(*iris).predict_proba(iris[0])
    np.testing.assert_array_equal(found.fit(*iris).predict_proba(iris[0]), expected)


def test_every_member_has_the_seed_and_only_the_outermost_the_threads():
    members = ["SVC", "RandomForestClassifier", {"name": "own", "estimator": SMALL_FOREST["estimator"],
               "parameters": {"random_state": 99, "n_jobs": 4}}]  # fmt: skip
    vote = EstimatorModel(estimator="VotingClassifier", parameters={"estimators": members})
    found = new_estimator(vote, seed=7, threads=2).get_params()
    assert found["n_jobs"] == 2
    assert [found[f"{name}__random_state"] for name in ("svc", "randomforestclassifier", "own")] == [7, 7, 99]
    assert [found[f"{name}__n_jobs"] for name in ("randomforestclassifier", "own")] == [1, 4]
    pipeline = EstimatorModel(estimator="Pipeline", parameters={"steps": ["PCA", "RandomForestClassifier"]})
    found = new_estimator(pipeline, seed=7, threads=2).get_params()
    assert (found["randomforestclassifier__n_jobs"], found["pca__random_state"]) == (2, 7)


def test_members_of_one_class_are_numbered_as_in_scikit_learn():
    model = EstimatorModel(estimator="VotingClassifier", parameters={"estimators": ["SVC", "GaussianNB", "SVC"]})
    assert [name for name, _ in new_estimator(model).estimators] == ["svc-1", "gaussiannb", "svc-2"]


def test_members_that_are_fitted_in_parallel_start_no_processes(iris):
    engine = engine_of("OneVsRestClassifier", {"estimator": "LinearSVC"}, threads=2)
    before = psutil.Process().children(recursive=True)
    engine.place(*iris)
    engine.fit()
    assert psutil.Process().children(recursive=True) == before


NESTED = {"SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector"}


@pytest.mark.parametrize("name", sorted({*chain(*TRANSFORMERS.values())} - {"FeatureUnion"}))
def test_every_transformer_can_be_a_step_of_a_stored_pipeline(iris, name):
    parameters = {"estimator": TREE} if name in NESTED else {}
    if name == "GaussianRandomProjection":
        parameters = {"n_components": 3}
    steps = [{"estimator": name, "parameters": parameters}, TREE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fewer samples than Nystroem's default, no convergence in few iterations
        engine = engine_of("Pipeline", {"steps": steps})
        engine.place(*iris)
        engine.fit()
    expected = engine.predict(iris[0]).labels
    assert np.array_equal(load_estimator(engine.estimator_bytes()).predict(iris[0]), expected)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_search_by_every_score_can_be_stored(iris, scoring):
    search = {"estimator": "LogisticRegression", "param_grid": {"C": [0.1, 1]}, "scoring": scoring, "cv": 2}
    engine = engine_of("GridSearchCV", search)
    engine.place(*iris)
    engine.fit()
    assert load_estimator(engine.estimator_bytes()).best_params_["C"] in (0.1, 1)


HEAD = "backend: sklearn\nmodel:\n  name: estimator\n"
ISSUES = {
    "  estimator: Pipelin": ["4:14: model.estimator: unknown scikit-learn classifier 'Pipelin' (did you mean"],
    "  estimator: StandardScaler": ["4:14: model.estimator: unknown scikit-learn classifier 'StandardScaler'"],
    "  estimator: Pipeline": ["3:3: model.parameters: Pipeline requires the parameter 'steps'"],
    "  estimator: Pipeline\n  parameters: {steps: [PCA, StandardScaler]}": [
        "4:14: model.estimator: this Pipeline is not a classifier"
    ],
    "  estimator: Pipeline\n  parameters: {steps: [PCA, SVCC]}": [
        "5:29: model.parameters.steps[1].estimator: unknown estimator 'SVCC' (did you mean 'SVC'?)"
    ],
    "  estimator: Pipeline\n  parameters:\n    steps:\n      - {estimator: PCA, parameters: {n_component: 3}}\n"
    "      - {estimator: SVC, parameter: {C: 3}}\n      - {name: a__b, estimator: SVC, parameters: {C: -1}}": [
        "7:39: model.parameters.steps[0].parameters.n_component: PCA has no such parameter (did you mean",
        "8:26: model.parameters.steps[1].parameter: unknown key (did you mean 'parameters'?)",
        "9:16: model.parameters.steps[2].name: must be text without '__', got 'a__b'",
        "9:54: model.parameters.steps[2].parameters.C: must be a float in the range (0.0, inf]",
    ],
    "  estimator: Pipeline\n  parameters: {steps: [SVC], svc__CC: 1}": [
        "5:30: model.parameters.svc__CC: Pipeline has no such parameter (did you mean 'svc__C'?)"
    ],
    "  estimator: Pipeline\n  parameters: {steps: [SVC], svc__C: -1}": ["5:38: model.parameters.svc__C: must be"],
    "  estimator: Pipeline\n  parameters: {steps: [SVC], memory: cache}": [
        "5:38: model.parameters.memory: is not supported: it stores pickles"
    ],
    "  estimator: OneVsRestClassifier\n  parameters: {estimator: 5}": [
        "5:27: model.parameters.estimator: must be the name of an estimator, or a mapping of settings"
    ],
    "  estimator: GridSearchCV\n  parameters: {estimator: SVC, param_grid: {C: [1]}, scoring: acuracy}": [
        "5:63: model.parameters.scoring: must be one of"
    ],
    "  estimator: SVC\n  parameters: {kernel: rbff}": ["5:24: model.parameters.kernel: must be a str among"],
}  # fmt: skip


@pytest.mark.parametrize("text", ISSUES)
def test_issues_are_reported_with_their_locations_before_anything_is_fitted(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(HEAD + text)
    with pytest.raises(ConfigError) as caught:
        load_experiment(path, environ={}, check=model_issues)
    assert len(caught.value.issues) == len(ISSUES[text])
    for found, expected in zip(caught.value.issues, ISSUES[text], strict=True):
        assert found.removeprefix(f"{path}:").startswith(expected), found


def test_a_stored_description_that_this_scikit_learn_lacks_is_a_usage_error():
    config = ExperimentConfig(backend="sklearn", model=EstimatorModel(estimator="SVC", parameters={"CC": 1}))
    with pytest.raises(UsageError, match=r"model.parameters.CC: SVC has no such parameter \(did you mean 'C'\?\)"):
        make_plan(config)


def test_a_search_that_keeps_no_estimator_is_refused(iris):
    engine = engine_of("GridSearchCV", {"estimator": "SVC", "param_grid": {"C": [1]}, "refit": False})
    engine.place(*iris)
    with pytest.raises(UsageError, match="cannot predict"):
        engine.fit()


def test_a_pipeline_from_the_command_line_is_trained_evaluated_and_converted(tmp_path):
    settings = [
        "model=estimator", "model.estimator=Pipeline", "model.parameters.svc__C=4",
        "model.parameters.steps=[StandardScaler, {estimator: SelectKBest, parameters: {k: 3}}, SVC]",
    ]  # fmt: skip
    flags = {"backend": "sklearn", "dataset.name": "iris"}
    config = load_experiment(None, flags=flags, settings=settings, environ={}, check=model_issues)
    result = train(make_plan(config), RunPaths(tmp_path), 1, QuietProgress(show_notes=False))
    run = open_run(RunDirectory(result.directory))
    assert run.config.model == config.model
    assert evaluate(run, EvaluateRequest("", threads=1)).evaluation.metrics.accuracy == (
        result.record.metrics["test"].accuracy
    )
    conversion = convert(run, ConvertRequest("", "sklearn", tmp_path / "model.skops"))
    assert (conversion.n_changed, (tmp_path / "model.skops").is_file()) == (0, True)


@pytest.mark.parametrize("name", ["ClassifierChain", "MultiOutputClassifier"])
def test_classifiers_of_several_outputs_are_unknown(name):
    """They expect a table of labels, and every dataset has one label per sample."""
    assert name not in composition.classifiers()
    assert "OneVsRestClassifier" in composition.classifiers()
