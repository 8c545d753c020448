"""A fitted estimator from its skops form, against a fixed list of types."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from numpy.lib import format as npy_format

from mlcli.config.schema import EstimatorModel
from mlcli.config.values import MOST_THREADS
from mlcli.engines.contract import Engine, EngineSpec
from mlcli.engines.sklearn.estimator import EstimatorEngine
from mlcli.errors import DataError, UsageError
from mlcli.records import Scores
from mlcli.text import escaped

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


_FREE_BYTES = 256 * 2**20
_MOST_RATIO = 20  # of content to archive; numbers rarely shrink to a tenth


def check_members(data: bytes) -> None:
    """ValueError for an archive, or one in it, that grows out of all proportion, or with arrays of other sizes than
    they announce; the errors of zipfile for what is no archive.
    """
    room = max(_FREE_BYTES, _MOST_RATIO * len(data))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = archive.infolist()
        if sum(member.file_size for member in members) > room:
            raise ValueError(f"an archive of {len(data):,} bytes that grows beyond {room:,}")
        for member in members:
            if member.filename.endswith(".npz"):
                check_members(archive.read(member))
            elif member.filename.endswith(".npy"):
                with archive.open(member) as stream:
                    _check_array(stream, member.file_size)


def _check_array(stream: IO[bytes], n_bytes: int) -> None:
    version = npy_format.read_magic(stream)
    read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
    shape, _, dtype = read(stream)
    if dtype.hasobject or math.prod(shape) * dtype.itemsize != n_bytes - stream.tell():
        raise ValueError("an array of Python objects, or of another size than it announces")


_NO_CHILD = -1
_N_BITSET_WORDS = 8
# Ensembles that check the samples once, and hand them to trees that check nothing.
_UNCHECKED = ("sklearn.ensemble._forest", "sklearn.ensemble._gb")


def check_contents(estimator: Any) -> None:
    """DataError where a tree in it leads out of itself, or in a circle, or asks for a feature that is not there.

    And where it would start more threads than any machine has.
    """
    for part in _parts(estimator):
        n_jobs = getattr(part, "n_jobs", None)
        if isinstance(n_jobs, int) and abs(n_jobs) > MOST_THREADS:
            raise DataError(f"the stored estimator asks for {n_jobs:,} threads")
        n_features = getattr(part, "n_features_in_", None)
        if hasattr(part, "tree_"):
            _check_tree(part.tree_, n_features)
        if type(part).__module__ in _UNCHECKED:
            for other in _parts(getattr(part, "estimators_", ())):
                if getattr(other, "n_features_in_", n_features) != n_features:
                    raise _fault("is for other features than those of its forest")
        for predictor in _parts(getattr(part, "_predictors", ())):
            if hasattr(predictor, "nodes"):
                _check_predictor(predictor, n_features)


def _parts(whole: Any) -> Iterator[Any]:
    """Everything that it is made of, itself included, each object once."""
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
        elif hasattr(part, "__dict__") and not isinstance(part, type):
            waiting += vars(part).values()


def _check_tree(tree: Any, n_features: Any) -> None:
    nodes = tree.__getstate__()["nodes"]
    inner = nodes["left_child"] != _NO_CHILD
    _check_nodes(nodes, inner, ("left_child", "right_child"), "feature", n_features)
    if tree.n_features != n_features:
        raise _fault("is for other features than those of its estimator")


def _check_predictor(predictor: Any, n_features: Any) -> None:
    """A tree of histogram gradient boosting."""
    nodes = predictor.nodes
    _check_nodes(nodes, nodes["is_leaf"] == 0, ("left", "right"), "feature_idx", n_features)
    sets = predictor.raw_left_cat_bitsets
    asks = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] != 0)
    if sets.ndim != 2 or sets.shape[1] != _N_BITSET_WORDS or (nodes["bitset_idx"][asks] >= len(sets)).any():
        raise _fault("asks for categories that are not there")


def _check_nodes(
    nodes: NDArray[Any], inner: NDArray[np.bool_], children: tuple[str, str], feature: str, n_features: Any
) -> None:
    """Children come after their parents, so that every way through the tree ends."""
    parents = np.flatnonzero(inner)
    for name in children:
        own = nodes[name][inner].astype(np.int64)
        if len(nodes) == 0 or (own <= parents).any() or (own >= len(nodes)).any():
            raise _fault("leads out of itself or in a circle")
    asked = nodes[feature][inner]
    if not isinstance(n_features, int) or (asked < 0).any() or (asked >= n_features).any():
        raise _fault("asks for a feature that is not there")


def _fault(what: str) -> DataError:
    return DataError(f"the stored estimator holds a tree that {what}")
