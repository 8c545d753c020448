"""A training run in the middle: everything that exact continuation needs, as one safetensors file and back.

All arrays, and as one more array of bytes a JSON document with the rest. Nothing in it is executed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from mlcli.records import EngineState, EpochRecord, Metrics

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pydantic import TypeAdapter

_SCHEMA_VERSION = 1
_DOCUMENT = "document"
_LOSSES = "batch_losses"
_GROUPS = ("weights", "best_weights", "engine")


@dataclass(frozen=True)
class Position:
    """How far training has come, in plain values.

    step: optimizer steps taken. history: the epochs that are over. n_correct, pass_seconds: of the epoch under way.
    metrics: by split, of the last epoch, or of the one that was kept where training is over. best_value: the figure
    that decides which epoch is best, lower is better.
    """

    step: int = 0
    history: tuple[EpochRecord, ...] = ()
    n_correct: int = 0
    pass_seconds: float = 0.0
    metrics: Mapping[str, Metrics] = field(default_factory=dict)
    best_epoch: int | None = None
    best_value: float | None = None
    best_metrics: Mapping[str, Metrics] = field(default_factory=dict)
    is_over: bool = False


@dataclass(frozen=True)
class RunSoFar:
    """What the record of the run will say beside its scores. seconds: by part of the run."""

    created: str
    seconds: Mapping[str, float]
    total_seconds: float
    notes: tuple[str, ...]
    digests: Mapping[str, str]
    device: str


@dataclass(frozen=True)
class Checkpoint:
    """batch_losses: float64 (n,), of the epoch under way. weights, best_weights: in canonical form."""

    position: Position
    batch_losses: NDArray[np.float64]
    weights: Mapping[str, NDArray[np.floating]]
    engine: EngineState
    best_weights: Mapping[str, NDArray[np.floating]] | None
    run: RunSoFar

    @property
    def words(self) -> str:
        """Where it was made, e.g. "after epoch 3 and 40 steps of the next"."""
        n_epochs, n_steps = len(self.position.history), len(self.batch_losses)
        if self.position.is_over:
            return "at the end of training"
        if not n_steps:
            return f"after epoch {n_epochs}"
        return f"after epoch {n_epochs} and {n_steps} steps of the next" if n_epochs else f"after {n_steps} steps"


@dataclass(frozen=True)
class _Document:
    schema_version: int
    position: Position
    run: RunSoFar
    engine_values: dict[str, Any]
    has_best_weights: bool


def checkpoint_bytes(checkpoint: Checkpoint) -> bytes:
    """The content of the file."""
    import numpy as np
    from safetensors.numpy import save

    document = _Document(
        _SCHEMA_VERSION,
        checkpoint.position,
        checkpoint.run,
        dict(checkpoint.engine.values),
        checkpoint.best_weights is not None,
    )
    arrays: dict[str, NDArray[Any]] = {
        _DOCUMENT: np.frombuffer(json.dumps(asdict(document), allow_nan=False).encode(), dtype=np.uint8),
        _LOSSES: checkpoint.batch_losses,
    }
    groups = (checkpoint.weights, checkpoint.best_weights or {}, checkpoint.engine.arrays)
    for group, members in zip(_GROUPS, groups, strict=True):
        arrays |= {f"{group}/{name}": array for name, array in members.items()}
    # In C order, because safetensors 0.8.0 stores other arrays wrongly and without a word.
    data: bytes = save({name: np.asarray(array, order="C") for name, array in arrays.items()})
    return data


def checkpoint_from(data: bytes) -> Checkpoint:
    """The checkpoint of a file; ValueError for one that is something else."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = {name: np.array(array) for name, array in load(data).items()}
        content = json.loads(arrays[_DOCUMENT].tobytes())
        document = _document_type().validate_python(content)
        losses = arrays[_LOSSES]
    except (SafetensorError, KeyError, RecursionError, MemoryError) as error:
        raise ValueError(f"not a checkpoint: {type(error).__name__}: {str(error)[:200]}") from error
    if document.schema_version != _SCHEMA_VERSION:
        raise ValueError(f"schema_version {document.schema_version}, expected {_SCHEMA_VERSION}")
    if losses.dtype != np.float64 or losses.ndim != 1:
        raise ValueError(f"batch losses are {losses.dtype} {losses.shape}")
    weights, best_weights, engine = (_members(arrays, group) for group in _GROUPS)
    return Checkpoint(
        position=document.position,
        batch_losses=losses,
        weights=weights,
        engine=EngineState(engine, document.engine_values),
        best_weights=best_weights if document.has_best_weights else None,
        run=document.run,
    )


@cache
def _document_type() -> TypeAdapter[_Document]:
    from pydantic import TypeAdapter

    return TypeAdapter(_Document)


def _members(arrays: Mapping[str, NDArray[Any]], group: str) -> dict[str, NDArray[Any]]:
    start = f"{group}/"
    return {name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)}
