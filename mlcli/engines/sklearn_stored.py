"""A fitted estimator from its skops form, against a fixed list of types."""

from __future__ import annotations

from typing import Any

from mlcli.config.schema import EstimatorModel
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.sklearn_estimator import EstimatorEngine
from mlcli.errors import DataError, UsageError

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
    if "n_jobs" in estimator.get_params(deep=False) and "n_jobs" not in spec.model.parameters:
        estimator.set_params(n_jobs=spec.runtime.threads)
    return EstimatorEngine(spec, estimator)


def load_estimator(data: bytes) -> Any:
    """The object in skops form, made only where every type in it is trusted by skops or in TRUSTED_TYPES.

    DataError, naming the others, where there are any, and for bytes that are no skops file.
    """
    import skops.io

    try:
        foreign = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
        if foreign:
            raise DataError(f"the stored estimator holds types that are not trusted: {', '.join(foreign)}")
        return skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
    except DataError:
        raise
    # skops lets everything through that a damaged archive can raise.
    except Exception as error:
        raise DataError(f"the stored estimator cannot be read: {type(error).__name__}: {error}") from error
