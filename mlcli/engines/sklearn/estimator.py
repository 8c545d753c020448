"""Any scikit-learn classifier, by class name, fitted in one call."""

from __future__ import annotations

import importlib
import inspect
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import InvalidParameterError

from mlcli.config.schema import EstimatorModel
from mlcli.config.values import thawed
from mlcli.engines.contract import EngineSpec, Weights
from mlcli.engines.sklearn.bench import ArrayBench, ArrayWork
from mlcli.engines.sklearn.matrix import scaled_matrix
from mlcli.errors import UsageError, nearest_match, unknown_name
from mlcli.records import EngineState, FitResult, Scores, StepResults

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Where scikit-learn keeps its public classifiers. `sklearn.utils.all_estimators` would walk every module,
# which takes seconds.
_MODULES = (
    "calibration", "discriminant_analysis", "dummy", "ensemble", "gaussian_process", "linear_model", "model_selection",
    "multiclass", "multioutput", "naive_bayes", "neighbors", "neural_network", "semi_supervised", "svm", "tree",
)  # fmt: skip


def classifiers() -> dict[str, type]:
    """Every public classifier of scikit-learn by class name."""
    found: dict[str, type] = {}
    for module_name in _MODULES:
        module = importlib.import_module(f"sklearn.{module_name}")
        for name in getattr(module, "__all__", dir(module)):
            try:
                member = getattr(module, name)
            except (AttributeError, ImportError):  # experimental classes ask for an import of their own
                continue
            if inspect.isclass(member) and issubclass(member, ClassifierMixin) and not inspect.isabstract(member):
                found[name] = member
    return found


def new_estimator(model: EstimatorModel, seed: int = 0, threads: int = 1) -> Any:
    """The unfitted classifier that a configuration describes.

    seed and threads become random_state and n_jobs where the class has them and the configuration is silent.
    UsageError for a name, or a parameter, that scikit-learn does not know.
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
    defaults = {"random_state": seed, "n_jobs": threads}
    defaults = {name: value for name, value in defaults.items() if name in accepted}
    try:
        return known[model.estimator](**(defaults | thawed(model.parameters)))
    except TypeError as error:
        raise UsageError(f"model.parameters: {model.estimator} cannot be made: {error}") from error


class EstimatorEngine:
    """See the contract. The classifier has no weights in canonical form; `estimator_bytes` holds it whole."""

    device = "cpu"

    def __init__(self, spec: EngineSpec, fitted: Any = None) -> None:
        if not isinstance(spec.model, EstimatorModel):
            raise UsageError(f"model {spec.model.name} is not a scikit-learn estimator by name")
        self._name = spec.model.estimator
        if fitted is None:
            fitted = new_estimator(spec.model, spec.runtime.seed, spec.runtime.threads)
        self._estimator = fitted
        self._n_classes = spec.n_classes
        self._scaling = spec.scaling
        self._precision = spec.runtime.precision

    def place(self, x: NDArray[Any], y: NDArray[np.int64]) -> None:
        self._x = scaled_matrix(x, self._scaling, self._precision)
        self._y = np.asarray(y)

    def train_steps(self, order: NDArray[np.int64], learning_rates: NDArray[np.float64]) -> StepResults:
        raise UsageError(f"{self._name} is fitted in one call, not in passes")

    def fit(self) -> FitResult:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                self._estimator.fit(self._x, self._y)
            except (InvalidParameterError, ValueError, TypeError) as error:
                first_line = str(error).splitlines()[0]
                raise UsageError(f"{self._name} refused the data or its parameters: {first_line}") from error
        n_iterations = getattr(self._estimator, "n_iter_", None)
        stopped_early = any(issubclass(warning.category, ConvergenceWarning) for warning in caught)
        return FitResult(
            n_iterations=None if n_iterations is None else int(np.max(n_iterations)),
            converged=False if stopped_early else None,
        )

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        labels = np.empty(len(x), dtype=np.int64)
        has_probabilities = hasattr(self._estimator, "predict_proba")
        probabilities = np.zeros((len(x), self._n_classes), dtype=np.float32) if has_probabilities else None
        for start in range(0, len(x), batch_size):
            batch = slice(start, start + batch_size)
            matrix = scaled_matrix(x[batch], self._scaling, self._precision)
            labels[batch] = self._estimator.predict(matrix)
            if probabilities is not None:
                # Classes that the training split lacked keep probability zero.
                probabilities[batch, self._estimator.classes_] = self._estimator.predict_proba(matrix)
        return Scores(labels=labels, logits=None, probabilities=probabilities)

    def bench(self, x: NDArray[Any], y: NDArray[np.int64], *, include_transfer: bool = False) -> ArrayBench:
        """Prediction is `predict_proba` where the estimator has it, else `predict`."""
        make_ready = partial(scaled_matrix, scaling=self._scaling, precision=self._precision)
        forward = getattr(self._estimator, "predict_proba", self._estimator.predict)
        work = ArrayWork(make_ready, forward, None, {"forward": 2e-3})
        return ArrayBench(work, x, y, self._precision, include_transfer=include_transfer)

    def weights(self) -> dict[str, NDArray[np.floating]]:
        raise UsageError(f"{self._name} has no weights that another engine could load")

    def load_weights(self, weights: Weights) -> None:
        raise UsageError(f"{self._name} takes no weights from another engine")

    def state(self) -> EngineState:
        return EngineState()

    def load_state(self, state: EngineState) -> None:
        """Nothing is kept between calls beside the estimator itself."""

    def estimator_bytes(self) -> bytes:
        import skops.io

        data: bytes = skops.io.dumps(self._estimator)
        return data
