"""RunDirectory: what a run writes, and its record.

Files are written beside their target, flushed to the disk and renamed, so that a reader never meets half a file.
`metrics.json` comes last: a directory without one, or with a status other than "finished", is an unfinished run.
"""

from __future__ import annotations

import hashlib
import io
import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.dump import to_yaml
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.files import disk_errors, sweep_parts, write_whole
from mlcli.models.weights_file import weights_bytes
from mlcli.records import EpochRecord, Preprocessing, RunRecord
from mlcli.runs.history import history_bytes, parsed_history
from mlcli.runs.preprocessing import preprocessing_document
from mlcli.runs.record import record_from
from mlcli.text import first_line, printable, to_json
from mlcli.untrusted import parse_json, read_inside

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
PREPROCESSING = "preprocessing.json"
HISTORY = "history.csv"
METRICS = "metrics.json"
PREDICTIONS = "predictions.npz"
WEIGHTS = "weights.safetensors"
ESTIMATOR = "estimator.skops"
LOG = "log.txt"
MANIFEST = "manifest.json"


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
        rows = history_bytes([record], with_header=not target.exists())
        with disk_errors(target, len(rows)), target.open("ab") as file:
            length = file.tell()
            try:
                file.write(rows)
                file.flush()
            except OSError:
                file.truncate(length)  # half a row would spoil those before it
                raise

    def rewrite_history(self, records: Sequence[EpochRecord]) -> None:
        """Replace all rows, as when a run goes on from an epoch that is not its last; none: the file goes."""
        target = self.path / HISTORY
        if records:
            self._write(HISTORY, history_bytes(records, with_header=True))
        else:
            with disk_errors(target):
                target.unlink(missing_ok=True)

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
            path
            for path in self.path.iterdir()
            if path.is_file() and path.name not in (MANIFEST, METRICS) and not path.name.startswith(".")
        )
        manifest = {
            "algorithm": "sha256",
            "files": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in artifacts},
        }
        self._write(MANIFEST, to_json(manifest).encode())
        self._write(METRICS, to_json(asdict(record)).encode())

    def reopen(self) -> None:
        """Make an ended run an unfinished one again, without what a killed process left half written."""
        sweep_parts(self.path)
        for name in (METRICS, MANIFEST):
            with disk_errors(self.path / name):
                (self.path / name).unlink(missing_ok=True)

    def has_record(self) -> bool:
        """Whether the run has ended in any way that it could still write down."""
        return os.path.isfile(self.path / METRICS)

    def read_record(self) -> RunRecord:
        """The record of the run; MlcliError where there is none, DataError where it cannot be read."""
        path = self.path / METRICS
        try:
            return record_from(parse_json(read_inside(self.path, METRICS)))
        except FileNotFoundError as error:
            raise MlcliError(f"{self.path}: not a finished run, {METRICS} is missing") from error
        except (OSError, ValueError) as error:
            place = printable(str(path))
            raise DataError(f"{place}: not a record that this version can read: {first_line(error)}") from error

    def read_history(self) -> list[EpochRecord]:
        """The epochs written so far, not verified; a row that a killed process left half written is dropped."""
        try:
            lines = read_inside(self.path, HISTORY).splitlines(keepends=True)
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise DataError(f"{self.path / HISTORY} cannot be read: {first_line(error)}") from error
        try:
            return parsed_history(b"".join(line for line in lines if line.endswith(b"\n")))
        except ValueError as error:
            raise DataError(f"{self.path / HISTORY}: this version cannot read it: {first_line(error)}") from error

    def read_environment(self) -> dict[str, Any]:
        """Versions, machine, device and threads, not verified; empty for a run that did not come so far."""
        try:
            return parse_json(read_inside(self.path, ENVIRONMENT))
        except (OSError, ValueError):
            return {}

    @property
    def config_path(self) -> Path:
        """Where the resolved configuration lies."""
        return self.path / CONFIG

    def _write(self, name: str, data: bytes) -> None:
        write_whole(self.path / name, data)
