"""What is in an estimator from a file, where the types alone say too little.

Compiled code follows the indices of trees without a look at where they lead, and threads are started without a look at
how many.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.config.values import MOST_THREADS
from mlcli.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

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
