"""The formats of `mlcli convert`: the registry, and what each format has to define.

A new format is one module in this package and one row in FORMATS. Importing this module imports neither numpy nor a
framework.
"""

from __future__ import annotations

import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from mlcli.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mlcli.models.layers import Network
    from mlcli.records import Preprocessing, Scaling


@dataclass(frozen=True)
class FormatInfo:
    """A format that a trained model can be written in."""

    implementation: str  # "module:class" of a ModelFormat
    suffix: str
    title: str
    is_float32_only: bool = False


FORMATS: dict[str, FormatInfo] = {
    "torch": FormatInfo("mlcli.convert.formats.torch:TorchFormat", ".safetensors", "a PyTorch state_dict"),
    "keras": FormatInfo("mlcli.convert.formats.keras:KerasFormat", ".keras", "a Keras model", is_float32_only=True),
    "sklearn": FormatInfo("mlcli.convert.formats.sklearn:SklearnFormat", ".skops", "a scikit-learn classifier"),
    "onnx": FormatInfo("mlcli.convert.formats.onnx:OnnxFormat", ".onnx", "an ONNX model", is_float32_only=True),
}


def format_info(name: str) -> FormatInfo:
    """Return the row of a format; UsageError with the nearest match for an unknown name."""
    if name not in FORMATS:
        raise UsageError(f"--to: {unknown_name('format', name, list(FORMATS))}")
    return FORMATS[name]


def load_format(name: str) -> ModelFormat:
    """Return the implementation of a format. It imports its framework when it is used."""
    return cast("ModelFormat", pkgutil.resolve_name(format_info(name).implementation)())


@dataclass(frozen=True)
class TrainedModel:
    """A network with its canonical weights, and the scaling of the samples that it was trained on."""

    network: Network
    weights: Mapping[str, NDArray[np.floating]]
    scaling: Scaling
    precision: Literal["float32", "float64"]
    table: Preprocessing | None = None  # of a table of one's own, for a format that takes its columns


ScoreKind = Literal["logits", "probabilities", "labels"]


@dataclass(frozen=True)
class Usage:
    """Python code that loads a file and scores samples with it, without mlcli.

    It is printed for the user, and run to verify the file. The code in `score` reads raw samples from `x`, a numpy
    array (n, *input_shape), and assigns `labels` (n,), the predicted classes, and `scores` (n, classes), unless kind
    is labels. For a model that takes the columns of a table, it reads `table`, a pandas.DataFrame, in place of `x`, and
    assigns `labels` as texts.
    """

    load: str
    score: str
    kind: ScoreKind


class ModelFormat(ABC):
    """What a format has to define.

    takes_columns: whether its models can take the columns of a table as they are, with their preparation.
    """

    takes_columns = False

    def unsupported_reason(self, network: Network) -> str | None:
        """Return why a network cannot be written, or which package is missing; None if it can be written.

        Imports no framework.
        """
        return None

    @abstractmethod
    def content(self, model: TrainedModel) -> bytes:
        """Return the content of the file for a supported model."""

    @abstractmethod
    def usage(self, model: TrainedModel, path: str) -> Usage:
        """Return the code for a file. path: Python code for its path."""

    def estimator_usage(
        self, scaling: Scaling, precision: str, path: str, *, trusted: Sequence[str], has_probabilities: bool
    ) -> Usage:
        """Return the code for a fitted estimator in skops form; UsageError for a format of networks.

        trusted: the types in the file that skops does not trust by default. has_probabilities: for all classes.
        """
        raise UsageError("only scikit-learn reads fitted estimators: use --to sklearn")

    def on_cpu(self) -> AbstractContextManager[object]:
        """Return a context in which the code of `usage` runs on the CPU, even if the framework prefers a GPU."""
        return nullcontext()


def scaling_code(samples: str, scaling: Scaling, array: str) -> str:
    """Return `(samples - shift) / scale` as Python code, without the operations that do nothing.

    samples: code for the samples in the precision of the run.
    array: a template for arrays, e.g. "torch.tensor({})"; numbers are written with all digits of float64.
    """
    code = samples
    if scaling.shift is not None:
        code = f"({code} - {_constant_code(scaling.shift, array)})"
    if scaling.scale is not None:
        code = f"{code} / {_constant_code(scaling.scale, array)}"
    return code


def _constant_code(value: NDArray[np.float64] | float, array: str) -> str:
    plain = value if isinstance(value, float | int) else value.tolist()
    return repr(plain) if isinstance(plain, float | int) else array.format(plain)
