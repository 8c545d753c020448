"""The common part of the three scikit-learn engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mlcli.engines.contract import EngineSpec
from mlcli.records import EngineState

if TYPE_CHECKING:
    from numpy.typing import NDArray


class SklearnEngine:
    """Scales samples to matrices. Has no state besides the weights and no estimator bytes, unless overridden."""

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

    def state(self) -> EngineState:
        return EngineState()

    def load_state(self, state: EngineState) -> None:
        """Do nothing: nothing is kept between calls except the weights."""

    def estimator_bytes(self) -> bytes | None:
        return None
