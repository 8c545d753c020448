"""What an export takes and gives.

An export writes one file that needs no mlcli, and says in Python how to load it and how to score raw samples with it.
What is printed for the user is what is run to check the file.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mlcli.models.layers import Network
from mlcli.records import Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TrainedModel:
    """A model with its weights in canonical names and orientation, and the scaling that samples go through first."""

    network: Network
    weights: Mapping[str, NDArray[np.floating]]
    scaling: Scaling
    precision: Literal["float32", "float64"]


ScoreKind = Literal["logits", "probabilities", "labels"]


@dataclass(frozen=True)
class Usage:
    """Lines of Python. Those of `score` find raw samples in `x`, a numpy array, and leave `scores` and `labels`.

    x: (n, *input_shape). scores: (n, classes), of the kind given; none where that is labels. labels: (n,), the classes
    predicted.
    """

    load: str
    score: str
    kind: ScoreKind


class Export(ABC):
    """One format."""

    def refusal(self, network: Network) -> str | None:
        """Why a model cannot be written, because of itself or of an extra that is missing. Loads no framework."""
        return None

    @abstractmethod
    def write(self, model: TrainedModel, path: Path) -> None:
        """Write the file of a model that was not refused; its suffix is that of the format."""

    @abstractmethod
    def usage(self, model: TrainedModel, path: Path) -> Usage:
        """How the file at `path` is loaded and used."""

    def on_cpu(self) -> AbstractContextManager[object]:
        """While it lasts, the lines of `usage` compute on the CPU, where they would take a GPU of their own accord."""
        return nullcontext()
