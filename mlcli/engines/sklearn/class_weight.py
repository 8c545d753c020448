"""How a classifier of scikit-learn weighs its classes: by its parameter `class_weight`, or by weights of samples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sklearn.base import is_classifier
from sklearn.utils.validation import has_fit_parameter

from mlcli.engines.sklearn.composition import classifiers
from mlcli.errors import UsageError
from mlcli.text import listed

_BALANCED = "balanced"
_SEARCHES = ("GridSearchCV", "RandomizedSearchCV")  # pass weights of samples to the estimator that they fit
# Fit the classifiers that they hold on samples of the training split, whose classes stay the same.
_CONTAINERS = ("VotingClassifier", "StackingClassifier", "BaggingClassifier", "CalibratedClassifierCV", *_SEARCHES)
_N_SHOWN = 40


def balance(estimator: Any) -> str | None:
    """Balance the classes of an unfitted classifier, and of those inside it.

    Sets `class_weight` where it is a parameter. A classifier without it needs the weight of each sample, and the name
    under which `fit` takes them is returned; None if it needs none. UsageError, listing what is possible, for a
    classifier that has neither, and for a `class_weight` that the configuration sets otherwise.
    """
    parameters, name = estimator.get_params(deep=False), type(estimator).__name__
    if "class_weight" in parameters:
        if parameters["class_weight"] not in (None, _BALANCED):
            raise UsageError(
                f"training.class_weight is {_BALANCED}, and model.parameters sets class_weight of {name} to "
                f"{parameters['class_weight']!r}; remove one of them"
            )
        estimator.set_params(class_weight=_BALANCED)
        return None
    if name == "Pipeline":
        step, last = parameters["steps"][-1]
        found = balance(last)
        return found and f"{step}__{found}"
    members = list(_classifiers_in(list(parameters.values()))) if name in _CONTAINERS else []
    if not members:
        if has_fit_parameter(estimator, "sample_weight"):
            return "sample_weight"
        raise _refusal(name)
    needed = {balance(member) for member in members}
    if len(needed) > 1 or (name not in _SEARCHES and needed != {None}):
        raise _refusal(f"a classifier inside {name}")
    return needed.pop()


def _classifiers_in(value: Any) -> Iterator[Any]:
    """Yield the classifiers in a value: itself, or those in its lists and mappings."""
    if isinstance(value, dict):
        yield from _classifiers_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _classifiers_in(item)
    elif hasattr(value, "fit") and is_classifier(value):
        yield value


def _refusal(what: str) -> UsageError:
    able = [name for name, found in classifiers().items() if has_fit_parameter(found, "sample_weight")]
    return UsageError(
        f"training.class_weight: {what} of scikit-learn can weigh neither classes nor samples\n"
        f"remove it, or choose one of {listed(sorted(able), _N_SHOWN)}"
    )
