"""A fitted estimator from its skops form, against a fixed list of types."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mlcli.config.faults import escaped
from mlcli.config.schema import EstimatorModel
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.sklearn_contents import check_contents
from mlcli.engines.sklearn_estimator import EstimatorEngine
from mlcli.engines.skops_archive import check_members
from mlcli.errors import DataError, UsageError
from mlcli.records import Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

_METRICS = ("BrayCurtis", "Canberra", "Chebyshev", "Euclidean", "Hamming", "Manhattan", "Minkowski", "SEuclidean")
# What fitted classifiers of scikit-learn hold beside the types that skops trusts of itself; all are scikit-learn's own.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in _METRICS for bits in (32, 64)),
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
    }
)


def stored_estimator_engine(spec: EngineSpec, data: bytes) -> Engine:
    """The engine of an `estimator` model around a fitted estimator; DataError for data that is something else.

    It uses the threads of the runtime where the configuration is silent about n_jobs.
    """
    if not isinstance(spec.model, EstimatorModel):
        raise UsageError(f"model {spec.model.name} is not a scikit-learn estimator by name")
    estimator = load_estimator(data)
    if type(estimator).__name__ != spec.model.estimator:
        raise DataError(f"the stored estimator is a {type(estimator).__name__}, expected {spec.model.estimator}")
    with _faults_of_the_file("cannot be used"):
        if "n_jobs" in estimator.get_params(deep=False) and "n_jobs" not in spec.model.parameters:
            estimator.set_params(n_jobs=spec.runtime.threads)
    return StoredEstimatorEngine(spec, estimator)


class StoredEstimatorEngine(EstimatorEngine):
    """An estimator from a file: every type in it is trusted, but that says nothing of how they are put together."""

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        """As every engine does; DataError where the estimator has not what predicting takes."""
        with _faults_of_the_file("cannot predict"):
            scores = super().predict(x, batch_size)
        if len(x) and not 0 <= scores.labels.min() <= scores.labels.max() < self._n_classes:
            raise DataError(f"the stored estimator predicts classes that the run does not have ({self._n_classes})")
        return scores


@contextmanager
def _faults_of_the_file(what: str) -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):
        raise
    # The attributes of an estimator are whatever the file says, and so is what goes wrong with them.
    except Exception as error:
        raise DataError(f"the stored estimator {what}: {_in_a_line(error)}") from error


def _in_a_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return escaped(f"{type(error).__name__}: {lines[0]}", 200)


def load_estimator(data: bytes) -> Any:
    """The object in skops form, made only where every type in it is trusted by skops or in TRUSTED_TYPES.

    DataError, naming the others, where there are any, and for bytes that are no skops file.
    """
    import skops.io

    # skops lets everything through that a damaged archive can raise.
    with _faults_of_the_file("cannot be read"):
        check_members(data)
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
        if foreign:
            named = escaped(", ".join(foreign), 300)
            raise DataError(f"the stored estimator holds types that are not trusted: {named}")
        estimator = skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
        check_contents(estimator)
    return estimator
