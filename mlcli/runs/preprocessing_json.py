"""A run's preprocessing as JSON and back, every number exactly as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlcli.records import Preprocessing, Scaling

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SCHEMA_VERSION = 1


def preprocessing_document(preprocessing: Preprocessing) -> dict[str, Any]:
    """Plain values for JSON. Python writes a float64 with as many digits as bring it back."""
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
    """The record of a document; KeyError, TypeError or ValueError for one that is something else."""
    if document["schema_version"] != _SCHEMA_VERSION:
        raise ValueError(f"schema_version {document['schema_version']}, expected {_SCHEMA_VERSION}")
    value_range = document["value_range"]
    return Preprocessing(
        kind=document["kind"],
        input_shape=tuple(document["input_shape"]),
        class_names=tuple(document["class_names"]),
        feature_names=tuple(document["feature_names"]),
        value_range=None if value_range is None else (value_range[0], value_range[1]),
        scaling=_scaling(document["scaling"]),
    )


def _scaling(document: dict[str, Any]) -> Scaling:
    import numpy as np

    shift, scale = document["shift"], document["scale"]
    return Scaling(
        kind=document["kind"],
        shift=None if shift is None else np.array(shift, dtype=np.float64),
        scale=np.array(scale, dtype=np.float64) if isinstance(scale, list) else scale,
    )
