"""Any scikit-learn classifier, chosen by class name and trained by a single fit."""

from __future__ import annotations

import importlib
import inspect
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from mlcli.config.schema import EstimatorModel
from mlcli.config.values import thawed
from mlcli.engines.contract import EngineSpec, FitResult
from mlcli.engines.sklearn.base import SklearnEngine
from mlcli.errors import UsageError, nearest_match, unknown_name
from mlcli.records import Scores
from mlcli.text import first_line

# The modules with public classifiers. `sklearn.utils.all_estimators` walks every module, which takes seconds.
_MODULES = (
    *("calibration", "discriminant_analysis", "dummy", "ensemble", "gaussian_process", "linear_model"),
    *("model_selection", "multiclass", "multioutput", "naive_bayes", "neighbors", "neural_network"),
    *("semi_supervised", "svm", "tree"),
)

_PLAIN = bool | int | float | str | None


def classifiers() -> dict[str, type]:
    """Return all public classifiers of scikit-learn by class name."""
    found: dict[str, type] = {}
    for module_name in _MODULES:
        module = importlib.import_module(f"sklearn.{module_name}")
        for name in getattr(module, "__all__", dir(module)):
            try:
                member = getattr(module, name)
            except (AttributeError, ImportError):  # experimental classes, which need another import first
                continue
            if inspect.isclass(member) and issubclass(member, ClassifierMixin) and not inspect.isabstract(member):
                found[name] = member
    return found


def new_estimator(model: EstimatorModel, seed: int = 0, threads: int = 1) -> Any:
    """Return the unfitted classifier that a configuration describes.

    seed and threads become random_state and n_jobs if the class has these parameters and the configuration does not
    set them. UsageError for a class or a parameter that scikit-learn does not have.
    """
    known = classifiers()
    if model.estimator not in known:
        raise UsageError(f"model.estimator: {unknown_name('scikit-learn classifier', model.estimator, sorted(known))}")
    accepted = list(inspect.signature(known[model.estimator]).parameters)
    for name in model.parameters:
        if name not in accepted:
            guess = nearest_match(name, accepted)
            hint = f" (did you mean {guess!r}?)" if guess else ""
            raise UsageError(
                f"model.parameters.{name}: {model.estimator} has no such parameter{hint}; it has {', '.join(accepted)}"
            )
    defaults = {name: value for name, value in (("random_state", seed), ("n_jobs", threads)) if name in accepted}
    try:
        return known[model.estimator](**(defaults | thawed(model.parameters)))
    except TypeError as error:
        raise UsageError(f"model.parameters: {model.estimator} does not accept them: {error}") from error


class EstimatorEngine(SklearnEngine):
    """Implements `Engine`. The classifier has no canonical weights and is stored as a whole by `estimator_bytes`."""

    def __init__(self, spec: EngineSpec, fitted: Any = None) -> None:
        """fitted: a classifier to predict with; None to create the one that the specification describes."""
        super().__init__(spec)
        if not isinstance(spec.model, EstimatorModel):
            raise UsageError(f"model {spec.model.name} is not an estimator; set model.name to estimator")
        self._name = spec.model.estimator
        if fitted is None:
            fitted = new_estimator(spec.model, spec.runtime.seed, spec.runtime.threads)
        self._estimator = fitted

    def fit(self) -> FitResult:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self._estimator.fit(self._x, self._y)
            except (InvalidParameterError, ValueError, TypeError) as error:
                raise UsageError(f"{self._name} rejected the data or its parameters: {first_line(error)}") from error
        n_iterations = getattr(self._estimator, "n_iter_", None)
        stopped_early = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        n_iterations = None if n_iterations is None else int(np.max(n_iterations))
        return FitResult(n_iterations, converged=False if stopped_early else None)

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        labels = np.empty(len(x), dtype=np.int64)
        has_probabilities = hasattr(self._estimator, "predict_proba")
        probabilities = np.zeros((len(x), self._n_classes), dtype=np.float32) if has_probabilities else None
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            matrix = self.matrix(x[batch])
            labels[batch] = self._estimator.predict(matrix)
            if probabilities is not None:
                # Classes that are missing from the training split keep probability zero.
                probabilities[batch, self._estimator.classes_] = self._estimator.predict_proba(matrix)
        return Scores(labels=labels, logits=None, probabilities=probabilities)

    def forward(self, matrix: NDArray[np.floating]) -> NDArray[Any]:
        """Return the probabilities of the classes if the estimator has them, else the labels."""
        return getattr(self._estimator, "predict_proba", self._estimator.predict)(matrix)

    def parameters(self) -> dict[str, object]:
        values = self._estimator.get_params(deep=False)
        return {name: value if isinstance(value, _PLAIN) else str(value) for name, value in values.items()}

    def estimator_bytes(self) -> bytes:
        import skops.io

        return skops.io.dumps(self._estimator)
