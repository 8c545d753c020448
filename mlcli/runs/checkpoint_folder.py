"""The checkpoints of a run on disk: the newest two, each a file whose name holds the sha256 of its content.

    checkpoint/00000012_<sha256>.safetensors   numbered in the order in which they were made
               newest                          the name of the last one, so that its absence is noticed

A file is read only after its content was found to be what its name says.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from mlcli.runs.atomic import disk_errors, sweep_parts, write_whole
from mlcli.runs.checkpoint import Checkpoint, checkpoint_bytes, checkpoint_from

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
