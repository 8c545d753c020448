"""scikit-learn's LogisticRegression, fitted by L-BFGS on the CPU or, through array API dispatch, on CUDA."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import sklearn
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from mlcli.config.schema import Lbfgs
from mlcli.engines.contract import EngineSpec, FitResult, Weights
from mlcli.engines.sklearn.base import SklearnEngine
from mlcli.errors import UsageError
from mlcli.records import Scores


class LogisticEngine(SklearnEngine):
    """Implements `Engine`. The coefficients of scikit-learn are canonical weights already.

    Except for two classes: scikit-learn then has one row of coefficients w, the canonical weights have the rows [0, w].
    """

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None, device: str) -> None:
        super().__init__(spec)
        if spec.network is None or not isinstance(spec.optimizer, Lbfgs):
            raise UsageError("scikit-learn fits logistic regression by lbfgs; set optimizer.name to lbfgs")
        self.device = device
        self._network = spec.network
        self._optimizer = spec.optimizer
        self._class_weights = spec.class_weights and dict(enumerate(spec.class_weights))
        self._model: LogisticRegression | None = None
        self._weight_name, self._bias_name = spec.network.parameter_shapes()
        self._starts_at_zero = True
        if initial_weights is not None:
            self.load_weights(initial_weights)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        absent = set(range(self._network.n_classes)) - set(np.unique(y).tolist())
        if absent:
            raise UsageError(
                f"the training split has no sample of class {', '.join(map(str, sorted(absent)))}, but scikit-learn's "
                "logistic regression needs samples of every class; use more samples (dataset.limit)"
            )
        self._x = self._to_device(self.whole_matrix(x))
        self._y = self._to_device(y)

    def fit(self) -> FitResult:
        n_samples = len(self._x)
        decay = self._optimizer.weight_decay
        model = LogisticRegression(
            C=1 / (n_samples * decay) if decay else np.inf,
            max_iter=self._optimizer.max_iter,
            tol=self._optimizer.tolerance,
            warm_start=not self._starts_at_zero,
            class_weight=self._class_weights,
        )
        if not self._starts_at_zero:
            start = self._fitted()
            model.coef_, model.intercept_, model.classes_ = start.coef_, start.intercept_, start.classes_
        with warnings.catch_warnings(), sklearn.config_context(array_api_dispatch=self.device != "cpu"):
            warnings.simplefilter("ignore", ConvergenceWarning)  # returned as `converged` instead
            model.fit(self._x, self._y)
        n_iterations = int(np.max(_numpy(model.n_iter_)))
        self._set_coefficients(_numpy(model.coef_), _numpy(model.intercept_))
        return FitResult(n_iterations=n_iterations, converged=n_iterations < self._optimizer.max_iter)

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        model = self._fitted()
        logits = np.empty((len(x), self._network.n_classes), dtype=self.precision)
        probabilities = np.empty_like(logits)
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            matrix = self.matrix(x[batch])
            probabilities[batch] = model.predict_proba(matrix)
            decision = self.forward(matrix)
            logits[batch] = decision if decision.ndim == 2 else np.column_stack([np.zeros_like(decision), decision])
        return Scores(labels=logits.argmax(axis=1), logits=logits, probabilities=probabilities)

    def forward(self, matrix: NDArray[np.floating]) -> NDArray[Any]:
        return self._fitted().decision_function(matrix)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        model = self._fitted()
        coefficients, intercepts = model.coef_, model.intercept_
        if len(coefficients) == 1:
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
        arrays = {self._weight_name: coefficients, self._bias_name: intercepts}
        return {name: np.array(array, dtype=self.precision, order="C") for name, array in arrays.items()}

    def load_weights(self, weights: Weights) -> None:
        self._network.check_weights(weights)
        coefficients, intercepts = np.asarray(weights[self._weight_name]), np.asarray(weights[self._bias_name])
        self._starts_at_zero = not (coefficients.any() or intercepts.any())
        if self._network.n_classes == 2:
            coefficients, intercepts = coefficients[1:] - coefficients[:1], intercepts[1:] - intercepts[:1]
        self._set_coefficients(coefficients, intercepts)

    def native_shapes(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        model = self._fitted()
        shapes = {name: (name, getattr(model, name).shape) for name in ("coef_", "intercept_")}
        return dict(zip((self._weight_name, self._bias_name), shapes.values(), strict=True))

    def _set_coefficients(self, coefficients: NDArray[np.floating], intercepts: NDArray[np.floating]) -> None:
        model = LogisticRegression()
        model.coef_ = np.array(coefficients, dtype=self.precision, order="C")
        model.intercept_ = np.array(intercepts, dtype=self.precision)
        model.classes_ = np.arange(self._network.n_classes)
        model.n_features_in_ = model.coef_.shape[1]
        self._model = model

    def _fitted(self) -> LogisticRegression:
        if self._model is None:
            raise UsageError("logistic regression has no weights yet; fit it or load weights first")
        return self._model

    def _to_device(self, array: NDArray[Any]) -> Any:
        if self.device == "cpu":
            return array
        from mlcli.engines.torch.base import as_tensor

        return as_tensor(np.ascontiguousarray(array)).to(self.device)


def _numpy(array: Any) -> NDArray[Any]:
    """Return a fitted attribute as a numpy array, also from a GPU."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)
