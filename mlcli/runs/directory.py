"""The directory of a run: the names of its files, how they are written, and its record.

Each file is written to a temporary file, flushed to the disk and renamed, so that a reader never sees half of it.
`metrics.json` comes last: a directory without one, or with a status other than "finished", is an unfinished run. The
manifest, which lists its checksum too, is written just before it, for its content is known by then.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.dump import to_yaml
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, MlcliError, UsageError
from mlcli.files import disk_errors, sweep_parts, write_whole
from mlcli.models.weights import weights_bytes
from mlcli.records import EpochRecord, Preprocessing, RunRecord
from mlcli.runs.formats import history_bytes, parsed_history, predictions_bytes, preprocessing_document, record_from
from mlcli.runs.manifest import MANIFEST, check_digest, manifest_bytes, read_manifest
from mlcli.runs.names import new_name
from mlcli.text import escaped, first_line, to_json
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
# The note of a record without a checksum.
UNVERIFIED = "an earlier version wrote this run without a checksum of its times, memory and training scores"


class RunDirectory:
    """One run on disk: `runs/<utc>_<name>_<backend>_s<seed>_<random>/`.

    What it reads is within the bounds of mlcli/untrusted.py, but not verified; `VerifiedFiles` verifies checksums.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._digests: dict[str, str] = {}  # sha256 of the files that this object wrote whole

    @property
    def run_id(self) -> str:
        return self.path.name

    @property
    def config_path(self) -> Path:
        """The file with the resolved configuration."""
        return self.path / CONFIG

    @classmethod
    def create(
        cls, config: ExperimentConfig, runs_directory: Path, out: Path | None = None, moment: datetime | None = None
    ) -> RunDirectory:
        """Create a directory that did not exist before: `out`, or a new one in `runs_directory`.

        moment: its time of creation in UTC; None: now. UsageError if `out` exists, MlcliError if the directory cannot
        be created.
        """
        name = new_name(moment or datetime.now(UTC), config.name or "", config.backend or "", config.seed)
        path = out if out is not None else runs_directory / name
        if "\n" in path.name:
            raise UsageError(f"--out {out}: a line break in the name of a run, which no command could read")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError as error:
            if out is not None and path.is_dir():
                raise UsageError(f"--out {out}: already exists; name a directory that does not exist") from error
            raise MlcliError(f"{path.parent}: not a directory, so no run can be written to it") from error
        except OSError as error:
            advice = "choose another directory with --runs-dir or --out"
            raise MlcliError(f"{path}: cannot be created: {error.strerror}\n{advice}") from error
        return cls(path)

    def write_config(self, config: ExperimentConfig) -> None:
        """Write the resolved configuration, which can be run again."""
        self._write(CONFIG, to_yaml(config).encode())

    def write_environment(self, environment: Mapping[str, Any]) -> None:
        """Write versions, machine, device and threads."""
        self._write(ENVIRONMENT, to_json(environment).encode())

    def write_preprocessing(self, preprocessing: Preprocessing) -> None:
        """Write what the run expects of a sample and does to it."""
        self._write(PREPROCESSING, to_json(preprocessing_document(preprocessing)).encode())

    def append_history(self, record: EpochRecord) -> None:
        """Add a row to the history; the first one creates the file, so that a killed run keeps its epochs."""
        target = self.path / HISTORY
        self._digests.pop(HISTORY, None)
        rows = history_bytes([record], with_header=not target.exists())
        with disk_errors(target, len(rows)), target.open("ab") as file:
            length = file.tell()
            try:
                file.write(rows)
                file.flush()
            except OSError:
                file.truncate(length)  # half a row would make the rows before it unreadable
                raise

    def rewrite_history(self, records: Sequence[EpochRecord]) -> None:
        """Replace all rows, as when a run is resumed from an earlier epoch; no records delete the file."""
        if records:
            self._write(HISTORY, history_bytes(records, with_header=True))
        else:
            self._delete(HISTORY)

    def write_log(self, lines: Iterable[str]) -> None:
        """Write the log, one event per line."""
        self._write(LOG, "".join(f"{line}\n" for line in lines).encode())

    def write_predictions(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Write the test scores: y, labels, and logits and probabilities where the model has them."""
        self._write(PREDICTIONS, predictions_bytes(arrays))

    def write_weights(self, weights: Mapping[str, NDArray[np.floating]]) -> None:
        """Write the weights in canonical form."""
        self._write(WEIGHTS, weights_bytes(weights))

    def write_estimator(self, data: bytes) -> str:
        """Write a fitted scikit-learn estimator in skops form; return the sha256 of the file."""
        return self._write(ESTIMATOR, data)

    def finish(self, record: RunRecord) -> None:
        """Write the manifest of all files, then the record: from now on the run is what its status says."""
        self._delete(METRICS)  # a kill after the manifest leaves no record rather than one that is not in the manifest
        names = sorted(
            path.name
            for path in self.path.iterdir()
            if path.is_file() and path.name != MANIFEST and not path.name.startswith(".")
        )
        data = to_json(asdict(record)).encode()
        digests = {name: self._digest(name) for name in names} | {METRICS: hashlib.sha256(data).hexdigest()}
        self._write(MANIFEST, manifest_bytes(digests))
        self._write(METRICS, data)

    def reopen(self) -> None:
        """Make an ended run an unfinished one again, and delete the temporary files of killed processes."""
        sweep_parts(self.path)
        self._delete(METRICS)
        self._delete(MANIFEST)

    def has_record(self) -> bool:
        """Return whether the run has ended and recorded how."""
        return os.path.isfile(self.path / METRICS)

    def read_record(self) -> RunRecord:
        """Return the record of the run, which must have the checksum that the manifest lists.

        The manifests of earlier versions list none; such a record gets a note that says so. MlcliError if there is no
        record, DataError if it was altered or cannot be read.
        """
        try:
            data = read_inside(self.path, METRICS)
            record = record_from(parse_json(data))
        except FileNotFoundError as error:
            raise MlcliError(f"{self.path}: not a finished run, {METRICS} is missing") from error
        except (OSError, ValueError) as error:
            raise self._unreadable(METRICS, error) from error
        expected = read_manifest(self.path).get(METRICS)
        if expected is None:
            return replace(record, notes=(*record.notes, UNVERIFIED))
        check_digest(self.path / METRICS, hashlib.sha256(data).hexdigest(), expected)
        return record

    def read_history(self) -> list[EpochRecord]:
        """Return the epochs written so far; a row that a killed process left half written is dropped."""
        try:
            data = read_inside(self.path, HISTORY)
            return parsed_history(data[: data.rfind(b"\n") + 1])
        except FileNotFoundError:
            return []
        except (OSError, ValueError) as error:
            raise self._unreadable(HISTORY, error) from error

    def read_environment(self) -> dict[str, Any]:
        """Return versions, machine, device and threads; empty for a run that ended before it wrote them."""
        try:
            return parse_json(read_inside(self.path, ENVIRONMENT))
        except (OSError, ValueError):
            return {}

    def _write(self, name: str, data: bytes) -> str:
        write_whole(self.path / name, data)
        self._digests[name] = hashlib.sha256(data).hexdigest()
        return self._digests[name]

    def _delete(self, name: str) -> None:
        self._digests.pop(name, None)
        with disk_errors(self.path / name):
            (self.path / name).unlink(missing_ok=True)

    def _digest(self, name: str) -> str:
        """The sha256 of a file; read again only if it grew by rows, or was written by an earlier process."""
        return self._digests.get(name) or hashlib.sha256((self.path / name).read_bytes()).hexdigest()

    def _unreadable(self, name: str, error: Exception) -> DataError:
        path = escaped(str(self.path / name))
        if isinstance(error, OSError) and error.strerror:
            return DataError(f"{path} cannot be read: {error.strerror}")
        return DataError(f"{path}: this version cannot read it: {first_line(error)}")
