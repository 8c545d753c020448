"""Any scikit-learn classifier, alone or made of other estimators, trained by a single fit."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError
from threadpoolctl import threadpool_limits

from mlcli.config.schema import EstimatorModel
from mlcli.engines.contract import EngineSpec, FitResult
from mlcli.engines.sklearn.base import SklearnEngine
from mlcli.engines.sklearn.class_weight import balance
from mlcli.engines.sklearn.composition import new_estimator
from mlcli.errors import UsageError
from mlcli.records import Scores
from mlcli.text import first_line

_PLAIN = bool | int | float | str | None


@contextmanager
def _rejections() -> Iterator[None]:
    """Raise UsageError for parameters that scikit-learn rejects only when it predicts."""
    try:
        yield
    except ValueError as error:
        raise UsageError(f"the classifier cannot predict with its parameters: {first_line(error)}") from error


def _remove_check(estimator: Any) -> None:
    """Replace the check of numbers inside histogram gradient boosting by nothing: it is a `partial`, never trusted.

    Before it predicts, a classifier with a category mask encodes the codes anew and passes the numbers through
    `FunctionTransformer(partial(check_array, ...))`, which changes none of those that mlcli passes.
    """
    preprocessor = getattr(estimator, "_preprocessor", None)
    if preprocessor is not None:
        for name, transformer, _ in (*preprocessor.transformers, *preprocessor.transformers_):
            if name == "numerical":
                transformer.func = None


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
        if spec.category_mask is not None:
            fitted.set_params(categorical_features=list(spec.category_mask))
        self._estimator = fitted
        self._class_weights = spec.class_weights
        self._weight_parameter = balance(fitted) if spec.class_weights else None

    def fit(self) -> FitResult:
        # Members that are fitted in parallel have one thread each.
        parameters = self._estimator.get_params()
        n_threads = 1 if "n_jobs" in parameters and any("__" in name for name in parameters) else None
        with warnings.catch_warnings(record=True) as caught, threadpool_limits(limits=n_threads):
            warnings.simplefilter("always")
            try:
                self._estimator.fit(self._x, self._y, **self._sample_weights())
            except (InvalidParameterError, ValueError, TypeError) as error:
                raise UsageError(f"{self._name} rejected the data or its parameters: {first_line(error)}") from error
        _remove_check(self._estimator)
        if not hasattr(self._estimator, "predict"):  # a search that does not refit
            raise UsageError(f"{self._name} cannot predict with these parameters")
        n_iterations = getattr(self._estimator, "n_iter_", None)
        stopped_early = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        n_iterations = None if n_iterations is None else int(np.max(n_iterations))
        return FitResult(n_iterations, converged=False if stopped_early else None)

    def _sample_weights(self) -> dict[str, NDArray[np.float64]]:
        """Return the weights of the samples as an argument of `fit`; {} unless the classifier needs them."""
        if self._class_weights is None or self._weight_parameter is None:
            return {}
        return {self._weight_parameter: np.array(self._class_weights)[self._y]}

    @_rejections()
    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        labels = np.empty(len(x), dtype=np.int64)
        has_probabilities = hasattr(self._estimator, "predict_proba")
        probabilities = np.zeros((len(x), self._n_classes)) if has_probabilities else None
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
