"""scikit-learn's LogisticRegression by L-BFGS: one call, on the CPU or, through array API dispatch, on CUDA."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import sklearn
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from mlcli.config.schema import Lbfgs
from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.sklearn.bench import ArrayBench, ArrayWork
from mlcli.engines.sklearn.matrix import scaled_matrix
from mlcli.engines.weight_check import check_weights
from mlcli.errors import UsageError
from mlcli.records import EngineState, FitResult, Scores, StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray


class LogisticEngine:
    """See the contract. Weights are held in canonical form and lent to scikit-learn for each call.

    A binary problem has one row of coefficients w in scikit-learn and is stored with the rows [0, w].
    """

    def __init__(self, spec: EngineSpec, initial_weights: Weights | None, device: str) -> None:
        if spec.network is None or not isinstance(spec.optimizer, Lbfgs):
            raise UsageError("scikit-learn fits logistic regression by lbfgs: set optimizer to lbfgs")
        self.device = device
        self._network = spec.network
        self._optimizer = spec.optimizer
        self._scaling = spec.scaling
        self._precision = spec.runtime.precision
        self._model: LogisticRegression | None = None
        self._weight_name, self._bias_name = spec.network.parameter_shapes()
        self._starts_at_zero = True
        if initial_weights is not None:
            self.load_weights(initial_weights)

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        absent = set(range(self._network.n_classes)) - set(np.unique(y).tolist())
        if absent:
            raise UsageError(
                f"the training split has no sample of class {', '.join(map(str, sorted(absent)))}: "
                "scikit-learn's logistic regression needs every class; use more samples (dataset.limit)"
            )
        self._x = self._to_device(scaled_matrix(x, self._scaling, self._precision))
        self._y = self._to_device(y)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        raise UsageError("scikit-learn's logistic regression is fitted in one call, not in passes")

    def fit(self) -> FitResult:
        n_samples = len(self._x)
        decay = self._optimizer.weight_decay
        model = LogisticRegression(
            C=1 / (n_samples * decay) if decay else np.inf,
            max_iter=self._optimizer.max_iter,
            tol=self._optimizer.tolerance,
            warm_start=not self._starts_at_zero,
        )
        if not self._starts_at_zero and self._model is not None:
            model.coef_, model.intercept_, model.classes_ = (
                self._model.coef_,
                self._model.intercept_,
                self._model.classes_,
            )
        with warnings.catch_warnings(), self._dispatch():
            warnings.simplefilter("ignore", ConvergenceWarning)  # returned as `converged` instead
            model.fit(self._x, self._y)
        n_iterations = int(np.max(_numpy(model.n_iter_)))
        self._adopt(_numpy(model.coef_), _numpy(model.intercept_))
        return FitResult(n_iterations=n_iterations, converged=n_iterations < self._optimizer.max_iter)

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        if self._model is None:
            raise UsageError("logistic regression has no weights yet: fit it or load weights first")
        logits = np.empty((len(x), self._network.n_classes), dtype=np.float32)
        probabilities = np.empty_like(logits)
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            matrix = scaled_matrix(x[batch], self._scaling, self._precision)
            probabilities[batch] = self._model.predict_proba(matrix)
            decision = self._model.decision_function(matrix)
            logits[batch] = decision if decision.ndim == 2 else np.column_stack([np.zeros_like(decision), decision])
        return Scores(labels=logits.argmax(axis=1), logits=logits, probabilities=probabilities)

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> ArrayBench:
        """Prediction is scikit-learn's own, on the CPU also where the fit was made on a GPU."""
        if self._model is None:
            raise UsageError("logistic regression has no weights yet: fit it or load weights first")

        make_ready = partial(scaled_matrix, scaling=self._scaling, precision=self._precision)
        work = ArrayWork(make_ready, self._model.decision_function, None, {"forward": 2e-3})
        return ArrayBench(work, x, y, self._precision, include_transfer=include_transfer)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        if self._model is None:
            raise UsageError("logistic regression has no weights yet: fit it or load weights first")
        coefficients, intercepts = self._model.coef_, self._model.intercept_
        if len(coefficients) == 1:
            coefficients = np.vstack([np.zeros_like(coefficients), coefficients])
            intercepts = np.concatenate([np.zeros_like(intercepts), intercepts])
        return {
            self._weight_name: np.array(coefficients, dtype=self._precision, order="C"),
            self._bias_name: np.array(intercepts, dtype=self._precision, order="C"),
        }

    def load_weights(self, weights: Weights) -> None:
        check_weights(self._network, weights)
        coefficients, intercepts = np.asarray(weights[self._weight_name]), np.asarray(weights[self._bias_name])
        self._starts_at_zero = not (coefficients.any() or intercepts.any())
        if self._network.n_classes == 2:
            coefficients, intercepts = coefficients[1:] - coefficients[:1], intercepts[1:] - intercepts[:1]
        self._adopt(coefficients, intercepts)

    def _adopt(self, coefficients: NDArray[np.floating], intercepts: NDArray[np.floating]) -> None:
        model = LogisticRegression()
        model.coef_ = np.array(coefficients, dtype=self._precision, order="C")
        model.intercept_ = np.array(intercepts, dtype=self._precision)
        model.classes_ = np.arange(self._network.n_classes)
        model.n_features_in_ = model.coef_.shape[1]
        self._model = model

    def state(self) -> EngineState:
        return EngineState()

    def load_state(self, state: EngineState) -> None:
        """L-BFGS keeps nothing between calls beside the weights."""

    def estimator_bytes(self) -> None:
        return None

    def _dispatch(self) -> AbstractContextManager[None]:
        if self.device == "cpu":
            return nullcontext()
        context: AbstractContextManager[None] = sklearn.config_context(array_api_dispatch=True)
        return context

    def _to_device(self, array: NDArray[Any]) -> Any:
        if self.device == "cpu":
            return array
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def _numpy(array: Any) -> NDArray[Any]:
    """A fitted attribute as a numpy array, wherever it lives."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)
