"""The state of a run in the middle of training, as safetensors files: a run that is resumed from one is bit-identical.

A file holds arrays, and a JSON document with the rest as one more array of bytes. Nothing in it is executed. The name
of a file is its number and its sha256: `checkpoint/00000012_<sha256>.safetensors`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.values import MOST_EPOCHS
from mlcli.errors import DataError
from mlcli.files import disk_errors, sweep_parts, write_whole
from mlcli.records import EngineState, EpochRecord, Metrics
from mlcli.runs.formats import typed
from mlcli.text import escaped, first_line
from mlcli.untrusted import parse_json, read_inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FOLDER = "checkpoint"
_NEWEST = "newest"
_MAX_NAME_BYTES = 200
_NAME = re.compile(r"(\d{8,})_([0-9a-f]{64})\.safetensors")
_SCHEMA_VERSION = 1
_DOCUMENT = "document"
_MAX_VALUES = 20 * MOST_EPOCHS  # an epoch of the history has ten
_LOSSES = "batch_losses"
_GROUPS = ("weights", "best_weights", "engine")


@dataclass(frozen=True)
class Position:
    """How far training has come, in plain values."""

    step: int = 0  # optimizer steps taken
    history: tuple[EpochRecord, ...] = ()  # the finished epochs
    n_correct: int = 0  # in the unfinished epoch
    pass_seconds: float = 0.0  # training time of the unfinished epoch
    metrics: Mapping[str, Metrics] = field(
        default_factory=dict
    )  # of validation, in the last epoch; when it is over, of the kept one
    best_epoch: int | None = None
    best_value: float | None = None  # what decides which epoch is best; lower is better
    is_over: bool = False
    kept_epoch: int | None = None  # known when training is over


@dataclass(frozen=True)
class RunSoFar:
    """What the record of the run will contain besides its scores."""

    created: str  # UTC, ISO 8601
    seconds: Mapping[str, float]  # by part of the run
    total_seconds: float
    notes: tuple[str, ...]
    digests: Mapping[str, str]
    device: str


@dataclass(frozen=True)
class Checkpoint:
    """Everything that is needed to resume a run."""

    position: Position
    batch_losses: NDArray[np.float64]  # (n,), nats per sample, of the unfinished epoch
    weights: Mapping[str, NDArray[np.floating]]  # in canonical form
    engine: EngineState
    best_weights: Mapping[str, NDArray[np.floating]] | None  # in canonical form
    run: RunSoFar

    @property
    def description(self) -> str:
        """Where in the training it was written, e.g. "after epoch 3 and 40 steps of the next"."""
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
    """Return the content of a checkpoint file."""
    import numpy as np
    from safetensors.numpy import save

    engine, best_weights = checkpoint.engine, checkpoint.best_weights
    document = _Document(
        _SCHEMA_VERSION, checkpoint.position, checkpoint.run, dict(engine.values), best_weights is not None
    )
    arrays: dict[str, NDArray[Any]] = {
        _DOCUMENT: np.frombuffer(json.dumps(asdict(document), allow_nan=False).encode(), dtype=np.uint8),
        _LOSSES: checkpoint.batch_losses,
    }
    for group, members in zip(_GROUPS, (checkpoint.weights, best_weights or {}, engine.arrays), strict=True):
        arrays |= {f"{group}/{name}": array for name, array in members.items()}
    # In C order, because safetensors 0.8.0 silently corrupts other arrays.
    return save({name: np.asarray(array, order="C") for name, array in arrays.items()})


def checkpoint_from(data: bytes) -> Checkpoint:
    """Return the checkpoint in the content of a file; ValueError for any other content."""
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        arrays = {name: np.array(array) for name, array in load(data).items()}
        document = typed(_Document, parse_json(arrays[_DOCUMENT].tobytes(), _MAX_VALUES))
        losses = arrays[_LOSSES]
    except (SafetensorError, KeyError, MemoryError) as error:
        raise ValueError(f"not a checkpoint: {type(error).__name__}: {first_line(error)}") from error
    if document.schema_version != _SCHEMA_VERSION:
        raise ValueError(f"schema_version {document.schema_version}, expected {_SCHEMA_VERSION}")
    if losses.dtype != np.float64 or losses.ndim != 1:
        raise ValueError(f"batch losses are {losses.dtype} {losses.shape}")
    weights, best_weights, engine = (_members(arrays, group) for group in _GROUPS)
    best = best_weights if document.has_best_weights else None
    state = EngineState(engine, document.engine_values)
    return Checkpoint(document.position, losses, weights, state, best, document.run)


def _members(arrays: Mapping[str, NDArray[Any]], group: str) -> dict[str, NDArray[Any]]:
    prefix = f"{group}/"
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


@dataclass(frozen=True)
class FoundCheckpoint:
    """The newest valid checkpoint of a run, if it has one."""

    checkpoint: Checkpoint | None
    path: Path | None
    issues: tuple[str, ...]  # what is wrong with newer ones, one line each that begins with the file


class CheckpointFolder:
    """The checkpoints of a run. Only the process that has locked the run writes to it."""

    def __init__(self, run_path: Path) -> None:
        self.path = run_path / FOLDER

    def write(self, checkpoint: Checkpoint) -> Path:
        """Write a checkpoint, delete all older ones but the last, and return its file.

        MlcliError if it cannot be written; all older ones are kept then.
        """
        data = checkpoint_bytes(checkpoint)
        with disk_errors(self.path):
            self.path.mkdir(exist_ok=True)
        known = self._files()
        number = _number(known[-1]) + 1 if known else 1
        target = self.path / f"{number:08d}_{hashlib.sha256(data).hexdigest()}.safetensors"
        write_whole(target, data)
        with contextlib.suppress(OSError):  # only tells `find` of a file that was deleted
            (self.path / _NEWEST).write_text(target.name, encoding="ascii")
        for old in known[:-1]:
            with contextlib.suppress(OSError):
                old.unlink()
        return target

    def find(self) -> FoundCheckpoint:
        """Return the newest checkpoint whose content matches its name; DataError for one that may not be read."""
        files = self._files()
        issues = self._missing(files)
        for path in reversed(files):
            try:
                return FoundCheckpoint(_verified(path), path, tuple(issues))
            except PermissionError as error:  # it may be whole, and the run must not begin again because of it
                raise _forbidden(path) from error
            except OSError as error:
                issues.append(f"{path} cannot be read: {error.strerror}")
            except ValueError as error:
                issues.append(f"{path} {first_line(error)}")
        return FoundCheckpoint(None, None, tuple(issues))

    def clear_damage(self) -> None:
        """Delete temporary files and checkpoints whose content does not match their name."""
        sweep_parts(self.path)
        for path in self._files():
            try:
                _verified(path)
            except (OSError, ValueError):
                with contextlib.suppress(OSError):
                    path.unlink()

    def remove(self) -> None:
        """Delete all checkpoints, as when the run is finished."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _files(self) -> list[Path]:
        """Return the checkpoint files, the oldest first."""
        if self.path.is_symlink() or not self.path.is_dir():
            return []
        try:
            return sorted((path for path in self.path.iterdir() if _NAME.fullmatch(path.name)), key=_number)
        except PermissionError as error:
            raise _forbidden(self.path) from error

    def _missing(self, files: list[Path]) -> list[str]:
        """Return an issue if the checkpoint written last is no longer in the folder."""
        with contextlib.suppress(OSError, ValueError):
            name = read_inside(self.path, _NEWEST, _MAX_NAME_BYTES).decode("ascii")
            if _NAME.fullmatch(name) and self.path / name not in files:
                return [f"{self.path / name} is missing"]
        return []


def _forbidden(path: Path) -> DataError:
    return DataError(f"{escaped(str(path))} cannot be read: Permission denied\nallow it, then resume the run again")


def _number(path: Path) -> int:
    return int(path.name.split("_")[0])


def _verified(path: Path) -> Checkpoint:
    data = read_inside(path.parent, path.name)
    if hashlib.sha256(data).hexdigest() not in path.name:
        raise ValueError("was altered or is incomplete")
    return checkpoint_from(data)
