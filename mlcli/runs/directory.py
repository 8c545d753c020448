"""RunDirectory: what a run writes, and its record.

Files are written beside their target, flushed to the disk and renamed, so that a reader never meets half a file.
`metrics.json` comes last: a directory without one, or with a status other than "finished", is an unfinished run.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.dump import to_yaml
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.models.weights_file import weights_bytes
from mlcli.records import EpochRecord, Metrics, Preprocessing, RunRecord, Timing
from mlcli.runs.file_names import (
    CONFIG,
    ENVIRONMENT,
    ESTIMATOR,
    HISTORY,
    LOG,
    MANIFEST,
    METRICS,
    PREDICTIONS,
    PREPROCESSING,
    WEIGHTS,
)
from mlcli.runs.history_csv import parsed_history
from mlcli.runs.plain_json import to_json
from mlcli.runs.preprocessing_json import preprocessing_document

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def utc_now() -> datetime:
    return datetime.now(UTC)


class RunDirectory:
    """One run on disk: `runs/<utc>_<name>_<backend>_s<seed>_<random>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def run_id(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, config: ExperimentConfig, runs_directory: Path, out: Path | None = None) -> RunDirectory:
        """Make a directory that no other run has, `out` itself where it is given; MlcliError where that fails."""
        now = utc_now()  # milliseconds, so that runs begun within a second sort by age
        stamp = f"{now:%Y%m%dT%H%M%S}{now.microsecond // 1000:03d}Z"
        name = f"{stamp}_{config.name}_{config.backend}_s{config.seed}_{secrets.token_hex(3)}"
        path = out if out is not None else runs_directory / name
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir(exist_ok=False)
        except FileExistsError as error:
            if out is not None and path.is_dir():
                raise UsageError(
                    f"--out {out}: there is something already; name a directory that does not exist"
                ) from error
            raise MlcliError(f"{path.parent}: not a directory that runs can be written to") from error
        except OSError as error:
            raise MlcliError(
                f"{path}: cannot be made: {error.strerror}\nchoose another place with --runs-dir or --out"
            ) from error
        return cls(path)

    def write_config(self, config: ExperimentConfig) -> None:
        """The resolved configuration, which can be run again."""
        self._write(CONFIG, to_yaml(config).encode())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        self._write(ENVIRONMENT, to_json(environment).encode())

    def write_preprocessing(self, preprocessing: Preprocessing) -> None:
        """What the run expects of a sample and does to it."""
        self._write(PREPROCESSING, to_json(preprocessing_document(preprocessing)).encode())

    def append_history(self, record: EpochRecord) -> None:
        """Add a row; the file is there from the first epoch on, so that a run that dies leaves what it had."""
        target = self.path / HISTORY
        names = [field.name for field in fields(EpochRecord)]
        with _disk_errors(target), target.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, names)
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(asdict(record))

    def write_log(self, lines: Iterable[str]) -> None:
        """What happened, in words, a line each."""
        self._write(LOG, "".join(f"{line}\n" for line in lines).encode())

    def write_predictions(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Test scores: y, labels, and logits and probabilities where the model has them."""
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        self._write(PREDICTIONS, buffer.getvalue())

    def write_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> str:
        """The weights in canonical form; returns the sha256 of the file."""
        data = weights_bytes(weights)
        self._write(WEIGHTS, data)
        return hashlib.sha256(data).hexdigest()

    def write_estimator(self, data: bytes) -> str:
        """A fitted scikit-learn estimator in skops form; returns the sha256 of the file."""
        self._write(ESTIMATOR, data)
        return hashlib.sha256(data).hexdigest()

    def finish(self, record: RunRecord) -> None:
        """Write the manifest over every artifact, then the record: from here on the run is what its status says."""
        artifacts = sorted(
            path for path in self.path.iterdir() if path.is_file() and path.name not in (MANIFEST, METRICS)
        )
        manifest = {
            "algorithm": "sha256",
            "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in artifacts},
        }
        self._write(MANIFEST, to_json(manifest).encode())
        self._write(METRICS, to_json(asdict(record)).encode())

    def has_record(self) -> bool:
        """Whether the run has ended in any way that it could still write down."""
        return (self.path / METRICS).is_file()

    def read_record(self) -> RunRecord:
        """The record of the run; MlcliError where there is none, DataError where it cannot be read."""
        path = self.path / METRICS
        try:
            return _record(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError as error:
            raise MlcliError(f"{self.path}: not a finished run, {METRICS} is missing") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not a record that this version can read: {error}") from error

    def read_history(self) -> list[EpochRecord]:
        """The epochs written so far, not verified; a row that a killed process left half written is dropped."""
        try:
            lines = (self.path / HISTORY).read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise DataError(f"{self.path / HISTORY} cannot be read: {error.strerror}") from error
        try:
            return parsed_history(b"".join(line for line in lines if line.endswith(b"\n")))
        except ValueError as error:
            raise DataError(f"{self.path / HISTORY}: this version cannot read it: {error}") from error

    def read_environment(self) -> dict[str, Any]:
        """Versions, machine, device and threads, not verified; empty for a run that did not come so far."""
        try:
            environment: dict[str, Any] = json.loads((self.path / ENVIRONMENT).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return environment

    @property
    def config_path(self) -> Path:
        """Where the resolved configuration lies."""
        return self.path / CONFIG

    def _write(self, name: str, data: bytes) -> None:
        target = self.path / name
        part = target.with_name(f".{name}.{os.getpid()}.part")
        with _disk_errors(target, len(data)):
            try:
                with part.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                part.replace(target)
            finally:
                part.unlink(missing_ok=True)
        _sync_folder(self.path)


def _record(document: dict[str, Any]) -> RunRecord:
    values = {field.name: document[field.name] for field in fields(RunRecord)}
    values["metrics"] = {name: Metrics(**metrics) for name, metrics in values["metrics"].items()}
    values["timing"] = Timing(**values["timing"]) if values["timing"] else None
    values["notes"] = tuple(values["notes"])
    return RunRecord(**values)


@contextlib.contextmanager
def _disk_errors(target: Path, n_bytes: int | None = None) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        needed = f" ({n_bytes:,} bytes are needed)" if n_bytes is not None else ""
        raise MlcliError(f"{target}: cannot be written: {error.strerror or error}{needed}") from error


def _sync_folder(path: Path) -> None:
    """Make a rename durable; not every system lets a folder be opened for that."""
    with contextlib.suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
