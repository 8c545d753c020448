"""Estimators of scikit-learn from their description in a configuration: a classifier, alone or made of others.

A nested estimator is written like the outer one, `{estimator: SVC, parameters: {C: 1}}`. Where a parameter must be an
estimator, the name of a class suffices. `steps`, `estimators` and `transformer_list` are lists of estimators, whose
names are their class names in lower case (as `sklearn.pipeline.make_pipeline` gives them) unless `name` is set. Any
other parameter may hold estimators too, for example the candidates of a grid search. `step__parameter` sets a
parameter of a nested estimator, as in scikit-learn.
"""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sklearn.base import ClassifierMixin, is_classifier
from sklearn.utils._param_validation import InvalidParameterError

from mlcli.config.layers import Key, KeyPath
from mlcli.config.messages import did_you_mean, key_path, shown
from mlcli.config.schema import EstimatorModel
from mlcli.errors import UsageError, unknown_name
from mlcli.text import first_line

# The modules with public classifiers. `sklearn.utils.all_estimators` walks every module, which takes seconds.
_CLASSIFIER_MODULES = (
    *("calibration", "discriminant_analysis", "dummy", "ensemble", "gaussian_process", "linear_model"),
    *("model_selection", "multiclass", "naive_bayes", "neighbors", "neural_network"),
    *("semi_supervised", "svm", "tree"),
)
# Classifiers if what they are made of is one.
_COMPOSED = {"pipeline": ("Pipeline",), "model_selection": ("GridSearchCV", "RandomizedSearchCV")}
# By module: those whose fitted state can be stored and loaded without trusting more than scikit-learn's own types, and
# is used by numpy code, which checks its shapes.
TRANSFORMERS = {
    "preprocessing": (
        *("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler", "Normalizer", "Binarizer"),
        *("QuantileTransformer", "PowerTransformer", "PolynomialFeatures"),
    ),
    "decomposition": (
        *("PCA", "IncrementalPCA", "KernelPCA", "SparsePCA", "TruncatedSVD", "FastICA", "FactorAnalysis", "NMF"),
    ),
    "feature_selection": (
        *("SelectKBest", "SelectPercentile", "SelectFpr", "SelectFdr", "SelectFwe", "VarianceThreshold"),
        *("SelectFromModel", "RFE", "RFECV", "SequentialFeatureSelector"),
    ),
    "kernel_approximation": ("Nystroem", "RBFSampler", "AdditiveChi2Sampler"),
    "neighbors": ("NeighborhoodComponentsAnalysis",),
    "pipeline": ("FeatureUnion",),
    "random_projection": ("GaussianRandomProjection",),
}
SCORINGS = ("accuracy", "balanced_accuracy", "f1_macro", "f1_weighted", "neg_log_loss", "roc_auc_ovr", "roc_auc_ovo")
_ESTIMATOR_PARAMETERS = ("estimator", "final_estimator")
_LIST_PARAMETERS = ("steps", "estimators", "transformer_list")
_KEYS = ("estimator", "parameters")
_MEMBER_KEYS = ("name", *_KEYS)
_NO_ESTIMATOR = ("passthrough", "drop")  # what scikit-learn accepts in place of one in a list
_PARAMETER_IN_MESSAGE = re.compile(r"The '(\w+)' parameter of \w+ ")


@cache
def classifiers() -> dict[str, type]:
    """Return the classes of scikit-learn that can be the model of an experiment, by name."""
    found: dict[str, type] = {}
    for module_name in _CLASSIFIER_MODULES:
        module = importlib.import_module(f"sklearn.{module_name}")
        for name in getattr(module, "__all__", dir(module)):
            try:
                member = getattr(module, name)
            except (AttributeError, ImportError):  # experimental classes, which need another import first
                continue
            if inspect.isclass(member) and issubclass(member, ClassifierMixin) and not inspect.isabstract(member):
                found[name] = member
    return found | _members_of(_COMPOSED)


@cache
def estimators() -> dict[str, type]:
    """Return the classes of scikit-learn that a classifier can be made of, by name."""
    return classifiers() | _members_of(TRANSFORMERS)


def _members_of(names: Mapping[str, Sequence[str]]) -> dict[str, type]:
    modules = {module: importlib.import_module(f"sklearn.{module}") for module in names}
    return {name: getattr(modules[module], name) for module, members in names.items() for name in members}


def new_estimator(model: EstimatorModel, seed: int = 0, threads: int = 1) -> Any:
    """Return the unfitted classifier that a configuration describes.

    Wherever the configuration does not set them, random_state is seed in every estimator, and n_jobs is threads in the
    outermost estimators and 1 in those inside them. UsageError, with the first issue, for a description that
    scikit-learn does not accept; see `estimator_issues`.
    """
    composition = _Composition(seed)
    estimator = composition.model(model, threads)
    for path, message, _ in composition.issues:
        raise UsageError(f"{key_path(path)}: {message}")
    return estimator


def estimator_issues(model: EstimatorModel) -> list[tuple[KeyPath, str, bool]]:
    """Return what scikit-learn does not accept in a description: path, message, and whether the key itself is wrong.

    Classes, names of parameters and their values are checked; no data are needed.
    """
    composition = _Composition(seed=0)
    composition.model(model, threads=1)
    return composition.issues


def takes_categories(estimator: Any) -> bool:
    """Return whether a classifier takes codes of categories, with a mask, and missing values as they are.

    That is so for histogram gradient boosting, unless the configuration sets its categorical_features.
    """
    return bool(estimator.get_params(deep=False).get("categorical_features") == "from_dtype")


@dataclass
class _Composition:
    """The estimators of one description, built from the inside out; issues are collected."""

    seed: int
    issues: list[tuple[KeyPath, str, bool]] = field(default_factory=list)

    def model(self, model: EstimatorModel, threads: int) -> Any:
        path: KeyPath = ("model",)
        if model.estimator not in classifiers():
            message = unknown_name("scikit-learn classifier", model.estimator, sorted(classifiers()))
            self._add((*path, "estimator"), message)
            return None
        estimator = self._constructed(model.estimator, model.parameters, path, threads)
        if estimator is not None and not self.issues and not is_classifier(estimator):
            self._add(
                (*path, "estimator"), f"this {model.estimator} is not a classifier; its last estimator must be one"
            )
        return estimator

    def _add(self, path: KeyPath, message: str, *, of_key: bool = False) -> None:
        self.issues.append((path, message, of_key))

    def _nested(self, description: Any, path: KeyPath, threads: int, keys: Sequence[str] = _KEYS) -> Any:
        """Return the estimator that a class name or a mapping describes; None, and an issue, if it is neither."""
        if isinstance(description, str):
            description = {"estimator": description}
        if not isinstance(description, Mapping):
            return self._add(
                path, f"must be the name of an estimator, or a mapping of settings, got {shown(description)}"
            )
        for key in description:
            if key not in keys:
                hint = did_you_mean(key, keys) or f"; known: {', '.join(keys)}"
                self._add((*path, key), f"unknown key{hint}", of_key=True)
        name, parameters = description.get("estimator"), description.get("parameters", {})
        if not isinstance(name, str):
            return self._add((*path, "estimator"), "is required: the class name of an estimator")
        if name not in estimators():
            hint = did_you_mean(name, estimators()) or "; docs/configuration.md lists what can be nested"
            return self._add((*path, "estimator"), f"unknown estimator {shown(name)}{hint}")
        if not isinstance(parameters, Mapping):
            return self._add((*path, "parameters"), f"must be a mapping of settings, got {shown(parameters)}")
        return self._constructed(name, parameters, path, threads)

    def _constructed(self, name: str, parameters: Mapping[Any, Any], path: KeyPath, threads: int) -> Any:
        """Return the estimator of a class that is known to exist; None, and issues, if it cannot be constructed."""
        known, n_issues = inspect.signature(estimators()[name]).parameters, len(self.issues)
        path = (*path, "parameters")
        threads_inside = 1 if "n_jobs" in known else threads
        values = {key: value for key, value in (("random_state", self.seed), ("n_jobs", threads)) if key in known}
        of_nested = {key: value for key, value in parameters.items() if "__" in str(key)}
        for key, value in parameters.items():
            if refusal := _refusal(str(key).rpartition("__")[2], value):
                self._add((*path, key), refusal)
            elif key in known:
                values[key] = self._value(key, value, (*path, key), threads_inside)
            elif key not in of_nested:
                near = did_you_mean(key, known)
                self._add((*path, key), f"{name} has no such parameter{near}; it has {', '.join(known)}", of_key=True)
        for key, parameter in known.items():
            if parameter.default is parameter.empty and key not in values:
                self._add(path, f"{name} requires the parameter {key!r}")
        if len(self.issues) > n_issues:
            return None
        estimator = estimators()[name](**values)
        self._validate(estimator, path)
        for key, value in of_nested.items():
            self._set_nested(estimator, key, value, path)
        return estimator

    def _value(self, key: Key | None, value: Any, path: KeyPath, threads: int) -> Any:
        """Return the value of a parameter, with the estimators that it describes."""
        if key in _LIST_PARAMETERS and isinstance(value, Sequence) and not isinstance(value, str):
            return self._members(value, path, threads)
        if key in _ESTIMATOR_PARAMETERS and value is not None:
            return self._nested(value, path, threads)
        if isinstance(value, Mapping):
            if isinstance(value.get("estimator"), str):
                return self._nested(value, path, threads)
            return {inner: self._value(None, item, (*path, inner), threads) for inner, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._value(None, item, (*path, index), threads) for index, item in enumerate(value)]
        return value

    def _members(self, descriptions: Sequence[Any], path: KeyPath, threads: int) -> list[tuple[str, Any]]:
        """Return the members of a list of estimators, each with its name; see `sklearn.pipeline.make_pipeline`."""
        names = []
        for index, description in enumerate(descriptions):
            written = description if isinstance(description, Mapping) else {"estimator": description}
            name = written.get("name", str(written.get("estimator")).lower())
            if not isinstance(name, str) or "__" in name:
                self._add((*path, index, "name"), f"must be text without '__', got {shown(name)}")
            names.append(str(name))
        counts, so_far = Counter(names), Counter[str]()
        members = []
        for index, (name, description) in enumerate(zip(names, descriptions, strict=True)):
            so_far[name] += 1
            is_none = description in _NO_ESTIMATOR
            member = description if is_none else self._nested(description, (*path, index), threads, _MEMBER_KEYS)
            members.append((f"{name}-{so_far[name]}" if counts[name] > 1 else name, member))
        return members

    def _set_nested(self, estimator: Any, key: str, value: Any, path: KeyPath) -> None:
        """Set a parameter of a nested estimator, given as `step__parameter`."""
        owner, _, last = key.rpartition("__")
        known = estimator.get_params()
        if key in known:
            estimator.set_params(**{key: self._value(last, value, (*path, key), 1)})
            self._validate(known[owner], path, key)
        else:
            message = f"{type(estimator).__name__} has no such parameter{did_you_mean(key, known)}"
            self._add((*path, key), message, of_key=True)

    def _validate(self, estimator: Any, path: KeyPath, key: str | None = None) -> None:
        """Check the values of parameters, as `fit` does. key: the one to name; None for that in the message."""
        if not hasattr(estimator, "_parameter_constraints"):  # FeatureUnion
            return
        try:
            estimator._validate_params()
        except InvalidParameterError as error:
            message = first_line(error, 400)
            found = _PARAMETER_IN_MESSAGE.match(message)
            name = key or (found[1] if found else None)
            self._add(path if name is None else (*path, name), message[found.end() :] if found else message)


def _refusal(parameter: str, value: Any) -> str | None:
    """Return why mlcli does not accept a value that scikit-learn would; None if it does."""
    if parameter == "memory" and value is not None:
        return "is not supported: it stores pickles"
    if parameter == "scoring" and value is not None and value not in SCORINGS:
        return f"must be one of {', '.join(SCORINGS)}, or null, got {shown(value)}{did_you_mean(value, SCORINGS)}"
    return None
