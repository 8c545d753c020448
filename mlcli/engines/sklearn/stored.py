"""A fitted estimator from a file of a stored run: loaded only if its types and its structure are safe.

skops creates nothing but objects of trusted types. That does not make them safe to use: the compiled code of
scikit-learn follows the nodes of a tree without checking them. Their structure is therefore checked as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcli.config.schema import EstimatorModel
from mlcli.config.values import MOST_THREADS
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.sklearn.estimator import EstimatorEngine
from mlcli.errors import DataError, UsageError
from mlcli.records import Scores
from mlcli.text import escaped, first_line
from mlcli.untrusted import check_archive

_METRICS = ("BrayCurtis", "Canberra", "Chebyshev", "Euclidean", "Hamming", "Manhattan", "Minkowski", "SEuclidean")
_SCORE_FUNCTIONS = ("accuracy_score", "balanced_accuracy_score", "f1_score", "log_loss")
# Types and functions in fitted classifiers of scikit-learn that skops does not trust by default. All belong to
# scikit-learn; the functions only compute numbers from arrays.
TRUSTED_TYPES = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.feature_selection._univariate_selection.f_classif",
        *(f"sklearn.metrics._classification.{name}" for name in _SCORE_FUNCTIONS),
        "sklearn.metrics._ranking.roc_auc_score",
        *("sklearn.metrics._scorer._PassthroughScorer", "sklearn.metrics._scorer._Scorer"),
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.multiclass._ConstantPredictor",
        "sklearn.utils._bunch.Bunch",
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
    """Return the engine of an `estimator` model with the fitted estimator in `data`, in skops form.

    DataError if `data` is anything else. The estimator uses the threads of the runtime unless the configuration sets
    n_jobs.
    """
    if not isinstance(spec.model, EstimatorModel):
        raise UsageError(f"model {spec.model.name} is not an estimator; set model.name to estimator")
    estimator = load_estimator(data)
    if type(estimator).__name__ != spec.model.estimator:
        raise DataError(f"the stored estimator is a {type(estimator).__name__}, expected {spec.model.estimator}")
    with _errors_as_data_error("cannot be used"):
        if "n_jobs" in estimator.get_params(deep=False) and "n_jobs" not in spec.model.parameters:
            estimator.set_params(n_jobs=spec.runtime.threads)
    return StoredEstimatorEngine(spec, estimator)


class StoredEstimatorEngine(EstimatorEngine):
    """An engine with an estimator from a file, whose attributes may have any values."""

    def predict(self, x: NDArray[Any], batch_size: int = 1024) -> Scores:
        """Return the scores of the samples; DataError if the estimator cannot predict or predicts unknown classes."""
        with _errors_as_data_error("cannot predict"):
            scores = super().predict(x, batch_size)
        if len(x) and not 0 <= scores.labels.min() <= scores.labels.max() < self._n_classes:
            raise DataError(f"the stored estimator predicts classes that the run does not have ({self._n_classes})")
        return scores


@contextmanager
def _errors_as_data_error(what: str) -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):
        raise
    # The content of the file decides which errors occur: those of skops, scikit-learn, numpy, or any other.
    except Exception as error:
        reason = escaped(f"{type(error).__name__}: {first_line(error)}", 200)
        raise DataError(f"the stored estimator {what}: {reason}") from error


def load_estimator(data: bytes) -> Any:
    """Return the object in skops form if all its types are trusted, by skops or by TRUSTED_TYPES.

    DataError, naming the other types, if there are any; also for data that is not a skops file, for archives that
    break the policy of `mlcli.untrusted`, and for estimators with an unsafe structure.
    """
    import skops.io

    with _errors_as_data_error("cannot be read"):
        check_archive(data)
        untrusted = sorted(set(skops.io.get_untrusted_types(data=data)) - TRUSTED_TYPES)
        if untrusted:
            names = escaped(", ".join(untrusted), 300)
            raise DataError(f"the stored estimator holds types that are not trusted: {names}")
        estimator = skops.io.loads(data, trusted=sorted(TRUSTED_TYPES))
        check_structure(estimator)
    return estimator


_NO_CHILD = -1
_N_BITSET_WORDS = 8
# Ensembles that check the samples once and pass them to trees that check nothing.
_UNCHECKED = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")


def check_structure(estimator: Any) -> None:
    """Raise DataError if an estimator is unsafe to use.

    That is: if it requests more threads than any machine has, or if it contains a tree with nodes that lead outside of
    the tree or in a circle, or with features that the samples do not have.
    """
    for part in _parts(estimator):
        n_jobs = getattr(part, "n_jobs", None)
        if isinstance(n_jobs, int) and abs(n_jobs) > MOST_THREADS:
            raise DataError(f"the stored estimator requests {n_jobs:,} threads, expected at most {MOST_THREADS:,}")
        n_features = getattr(part, "n_features_in_", None)
        if hasattr(part, "tree_"):
            _check_tree(part.tree_, n_features)
        if type(part).__module__ in _UNCHECKED:
            for member in _parts(getattr(part, "estimators_", ())):
                if getattr(member, "n_features_in_", n_features) != n_features:
                    raise _tree_error("has other features than its forest")
        for predictor in _parts(getattr(part, "_predictors", ())):
            if hasattr(predictor, "nodes"):
                _check_boosting_tree(predictor, n_features, getattr(part, "_bin_mapper", None))


def _parts(whole: Any) -> Iterator[Any]:
    """Yield the object and, recursively, everything that it contains; each object once."""
    seen: set[int] = set()
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        yield part
        if isinstance(part, dict):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif isinstance(part, np.ndarray) and part.dtype.hasobject:
            waiting += part.ravel().tolist()
        if hasattr(part, "__dict__") and not isinstance(part, type):
            waiting += vars(part).values()


def _check_tree(tree: Any, n_features: Any) -> None:
    nodes = tree.__getstate__()["nodes"]
    is_split = nodes["left_child"] != _NO_CHILD
    _check_nodes(nodes, is_split, ("left_child", "right_child"), "feature", n_features)
    if tree.n_features != n_features:
        raise _tree_error("has other features than its estimator")


def _check_boosting_tree(predictor: Any, n_features: Any, bin_mapper: Any) -> None:
    """Check a tree of histogram gradient boosting; bin_mapper: what knows the categories of each feature."""
    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    is_split = nodes["is_leaf"] == 0
    _check_nodes(nodes, is_split, ("left", "right"), "feature_idx", n_features)
    is_categorical = is_split & (nodes["is_categorical"] != 0)
    has_shape = bitsets.ndim == 2 and bitsets.shape[1] == _N_BITSET_WORDS
    if not has_shape or (nodes["bitset_idx"][is_categorical] >= len(bitsets)).any():
        raise _tree_error("uses categories that it does not have")
    has_categories = np.asarray(getattr(bin_mapper, "is_categorical_", ()), dtype=bool)
    of_nodes = nodes["feature_idx"][is_categorical]
    if len(of_nodes) and (has_categories.shape != (n_features,) or not has_categories[of_nodes].all()):
        raise _tree_error("uses categories of a feature that has none")


def _check_nodes(
    nodes: NDArray[Any], is_split: NDArray[np.bool_], children: tuple[str, str], feature: str, n_features: Any
) -> None:
    """Check that children come after their parents, so that every path ends, and that all features exist."""
    parents = np.flatnonzero(is_split)
    for name in children:
        positions = nodes[name][is_split].astype(np.int64)
        if len(nodes) == 0 or (positions <= parents).any() or (positions >= len(nodes)).any():
            raise _tree_error("leads outside of itself or in a circle")
    features = nodes[feature][is_split]
    if not isinstance(n_features, int) or (features < 0).any() or (features >= n_features).any():
        raise _tree_error("uses a feature that the samples do not have")


def _tree_error(what: str) -> DataError:
    return DataError(f"the stored estimator holds a tree that {what}")
