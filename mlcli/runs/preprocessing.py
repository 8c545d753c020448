"""The preprocessing of a run (preprocessing.json), written and read without losing a bit of any number."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from mlcli.records import DatasetKind, Preprocessing, Scaling
from mlcli.runs.record import typed

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCHEMA_VERSION = 1
_N_AXES = {"image": 3, "table": 1}
_MAX_VALUES = 2**31  # in a sample
_MAX_SCALING = 1e18  # engines scale in float32, whose largest number is 3e38


@dataclass(frozen=True)
class _ScalingDocument:
    kind: Literal["none", "unit", "standard"]
    shift: float | tuple[float, ...] | None
    scale: float | tuple[float, ...] | None


@dataclass(frozen=True)
class _Document:
    schema_version: int
    kind: DatasetKind
    input_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    value_range: tuple[float, float] | None
    scaling: _ScalingDocument


def preprocessing_document(preprocessing: Preprocessing) -> dict[str, Any]:
    """Return plain values for JSON. Python writes a float64 with as many digits as it takes to read it back."""
    scaling = preprocessing.scaling
    return {
        "schema_version": _SCHEMA_VERSION,
        "kind": preprocessing.kind,
        "input_shape": list(preprocessing.input_shape),
        "class_names": list(preprocessing.class_names),
        "feature_names": list(preprocessing.feature_names),
        "value_range": preprocessing.value_range,
        "scaling": {"kind": scaling.kind, "shift": _numbers(scaling.shift), "scale": _numbers(scaling.scale)},
    }


def _numbers(value: NDArray[np.float64] | float | None) -> Any:
    return value if value is None or isinstance(value, float | int) else value.tolist()


def preprocessing_from(document: dict[str, Any]) -> Preprocessing:
    """Return the preprocessing in a document; ValueError for anything else, or parts that do not fit together."""
    if document.get("schema_version") != _SCHEMA_VERSION:
        raise ValueError(f"schema_version {document.get('schema_version')}, expected {_SCHEMA_VERSION}")
    found = typed(_Document, document)
    _check_shape(found)
    _check_names("class_names", found.class_names)
    _check_names("feature_names", found.feature_names)
    _check_scaling(found, "shift", 0.0)
    _check_scaling(found, "scale", 1 / _MAX_SCALING)
    return Preprocessing(
        kind=found.kind,
        input_shape=found.input_shape,
        class_names=found.class_names,
        feature_names=found.feature_names,
        value_range=found.value_range,
        scaling=_scaling(found.scaling),
    )


def _check_shape(found: _Document) -> None:
    shape = found.input_shape
    if min(shape, default=0) < 1 or math.prod(shape) > _MAX_VALUES or len(shape) != _N_AXES[found.kind]:
        raise ValueError(f"input_shape: {list(shape)[:4]} is not the shape of a sample of kind {found.kind}")
    if not found.class_names or (found.kind == "table" and len(found.feature_names) != shape[0]):
        raise ValueError(f"{len(found.class_names)} class_names and {len(found.feature_names)} feature_names")


def _check_names(key: str, names: tuple[str, ...]) -> None:
    """Names are printed, and written into generated code as comments, so each must be one line."""
    if len(set(names)) != len(names) or any("\n" in name for name in names):
        raise ValueError(f"{key}: expected distinct names of one line each")


def _check_scaling(found: _Document, key: Literal["shift", "scale"], least: float) -> None:
    value: float | tuple[float, ...] | None = getattr(found.scaling, key)
    if isinstance(value, tuple) and (found.kind != "table" or len(value) != found.input_shape[0]):
        raise ValueError(f"scaling.{key}: {len(value)} numbers, expected one, or one per feature")
    numbers = value if isinstance(value, tuple) else () if value is None else (value,)
    if any(not least <= abs(number) <= _MAX_SCALING for number in numbers):
        raise ValueError(f"scaling.{key}: a number whose size is not between {least:g} and {_MAX_SCALING:g}")


def _scaling(found: _ScalingDocument) -> Scaling:
    import numpy as np

    return Scaling(
        kind=found.kind,
        shift=None if found.shift is None else np.array(found.shift, dtype=np.float64),
        scale=np.array(found.scale, dtype=np.float64) if isinstance(found.scale, tuple) else found.scale,
    )
