"""The common part of the three scikit-learn engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.engines.contract import Engine, EngineSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SklearnEngine(Engine):
    """An engine that computes on matrices of scaled samples in host memory."""

    device = "cpu"

    def __init__(self, spec: EngineSpec) -> None:
        self._n_classes = spec.n_classes
        self._scaling = spec.scaling
        self._precision = spec.runtime.precision

    def _matrix(self, x: NDArray[Any]) -> NDArray[np.floating]:
        """Return `(x - shift) / scale` as a new C-ordered matrix (n, features) in the precision of the run."""
        matrix: NDArray[np.floating] = np.array(x, dtype=self._precision, order="C")
        if self._scaling.shift is not None:
            matrix -= self._scaling.shift.astype(self._precision)
        if self._scaling.scale is not None:
            matrix /= np.asarray(self._scaling.scale, dtype=self._precision)
        return matrix.reshape(len(matrix), -1)
