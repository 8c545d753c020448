"""A training run in the middle: everything that exact continuation needs, as one safetensors file and back.

All arrays, and as one more array of bytes a JSON document with the rest. Nothing in it is executed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.files import disk_errors, sweep_parts, write_whole
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


FOLDER = "checkpoint"
_NEWEST = "newest"
_NAME = re.compile(r"(\d{8,})_([0-9a-f]{64})\.safetensors")


@dataclass(frozen=True)
class FoundCheckpoint:
    """The newest checkpoint that is whole, None where there is none, and what was wrong with newer ones, in words."""

    checkpoint: Checkpoint | None
    path: Path | None
    faults: tuple[str, ...]


class CheckpointFolder:
    """Written by one process at a time, the one that holds the run."""

    def __init__(self, run_path: Path) -> None:
        self.path = run_path / FOLDER

    def write(self, checkpoint: Checkpoint) -> Path:
        """Keep one more, and of those before it the last. MlcliError where it cannot be written; none is lost then."""
        data = checkpoint_bytes(checkpoint)
        with disk_errors(self.path):
            self.path.mkdir(exist_ok=True)
        known = self._files()
        number = _number(known[-1]) + 1 if known else 1
        target = self.path / f"{number:08d}_{hashlib.sha256(data).hexdigest()}.safetensors"
        write_whole(target, data)
        with contextlib.suppress(OSError):  # a hint, which nothing depends on
            (self.path / _NEWEST).write_text(target.name, encoding="ascii")
        for old in known[:-1]:
            with contextlib.suppress(OSError):
                old.unlink()
        return target

    def find(self) -> FoundCheckpoint:
        """The newest checkpoint that verifies."""
        files = self._files()
        faults = self._absence(files)
        for path in reversed(files):
            try:
                return FoundCheckpoint(_verified(path), path, tuple(faults))
            except (OSError, ValueError) as error:
                faults.append(f"{path} {_reason(error)}")
        return FoundCheckpoint(None, None, tuple(faults))

    def clear_damage(self) -> None:
        """Remove unfinished parts, and files that are not what their names say."""
        sweep_parts(self.path)
        for path in self._files():
            try:
                _verified(path)
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    path.unlink()

    def remove(self) -> None:
        """Remove all of them, as when the run is finished."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> list[Path]:
        """In the order in which they were made."""
        if self.path.is_symlink() or not self.path.is_dir():
            return []
        return sorted((path for path in self.path.iterdir() if _NAME.fullmatch(path.name)), key=_number)

    def _absence(self, files: list[Path]) -> list[str]:
        path = self.path / _NEWEST
        try:
            name = path.read_text(encoding="ascii")[:200] if path.is_file() else ""
        except (OSError, ValueError):
            return []
        if not _NAME.fullmatch(name) or name in [file.name for file in files]:
            return []
        return [f"{self.path / name} is missing"]


def _verified(path: Path) -> Checkpoint:
    if path.is_symlink() or not path.is_file():
        raise ValueError("is not a plain file")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest not in path.name:
        raise ValueError("was altered or is not whole")
    return checkpoint_from(path.read_bytes())


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, OSError):
        return f"cannot be read: {error.strerror}"
    return str(error).splitlines()[0]


def _number(path: Path) -> int:
    return int(path.name.split("_")[0])
