"""The input matrix of a scikit-learn estimator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.records import Scaling

if TYPE_CHECKING:
    from numpy.typing import NDArray


def scaled_matrix(x: NDArray[Any], scaling: Scaling, precision: str) -> NDArray[np.floating]:
    """`(x - shift) / scale` as a C-ordered matrix (n, features) in the run's precision; x stays as it is."""
    matrix: NDArray[np.floating] = np.array(x, dtype=precision, order="C")
    if scaling.shift is not None:
        matrix -= scaling.shift.astype(precision)
    if scaling.scale is not None:
        matrix /= np.asarray(scaling.scale, dtype=precision)
    return matrix.reshape(len(matrix), -1)
