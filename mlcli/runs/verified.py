"""The artifacts of a run, read back only after their checksums were found right. Nothing in them is executed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.config.schema import ExperimentConfig
from mlcli.errors import DataError, OutOfMemoryError
from mlcli.models.weights_file import parsed_weights
from mlcli.records import EpochRecord, Preprocessing
from mlcli.runs.directory import (
    CONFIG,
    ENVIRONMENT,
    ESTIMATOR,
    HISTORY,
    MANIFEST,
    PREDICTIONS,
    PREPROCESSING,
    WEIGHTS,
)
from mlcli.runs.history import parsed_history
from mlcli.runs.predictions import parsed_predictions
from mlcli.runs.preprocessing import preprocessing_from
from mlcli.runs.stored_config import read_config
from mlcli.text import escaped, first_line
from mlcli.untrusted import leads_outside, open_inside, parse_json, read_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEDY = "restore the file from a copy, or train again"


class VerifiedFiles:
    """The files that the manifest of a run lists, each with the sha256 that it gives.

    DataError, naming the file, for one that is missing, altered, or reached by a link that leads out of the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refuse_links_outside()
        self._digests = self._read_manifest()
        for name, digest in self._digests.items():
            self._verify(name, digest)

    def _refuse_links_outside(self) -> None:
        folders = [str(self.path)]  # a stack of our own: folders can be nested deeper than Python's
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise DataError(f"{escaped(folder)} cannot be read: {error.strerror}; {_REMEDY}") from error
            for entry in entries:
                if entry.is_symlink() and leads_outside(Path(entry.path), self.path):
                    raise DataError(f"{escaped(entry.path)}: a link that leads out of the run directory; {_REMEDY}")
            folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _read_manifest(self) -> dict[str, str]:
        try:
            document = parse_json(read_inside(self.path, MANIFEST))
            algorithm, files = document.get("algorithm"), document.get("files")
            if algorithm != "sha256":
                raise ValueError(f"algorithm {algorithm!r}, expected 'sha256'")
            if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
                raise ValueError("files are not listed by name and sha256")
        except FileNotFoundError as error:
            raise DataError(
                f"{self._place(MANIFEST)} is missing: the files of the run cannot be verified; {_REMEDY}"
            ) from error
        except (OSError, ValueError) as error:
            raise self._unreadable(
                MANIFEST, f"not a manifest that this version can read: {first_line(error)}"
            ) from error
        return files

    def _verify(self, name: str, digest: str) -> None:
        path = self._place(name)
        if leads_outside(self.path / name, self.path):
            raise DataError(f"{self._place(MANIFEST)} lists {escaped(name)}, which lies outside the run directory")
        try:
            with open_inside(self.path, name) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing; {_REMEDY}") from error
        except (OSError, ValueError) as error:
            raise DataError(f"{path} cannot be read: {_reason(error)}; {_REMEDY}") from error
        if found != digest:
            left = escaped(digest[:12])
            raise DataError(f"{path} was altered: its sha256 is {found[:12]}..., and the run left {left}...\n{_REMEDY}")

    def _bytes(self, name: str, most_bytes: int | None = None) -> bytes:
        if name not in self._digests:
            raise DataError(f"{self._place(name)}: the run has no such file")
        try:
            return read_inside(self.path, name, most_bytes)
        except (OSError, ValueError) as error:
            raise self._unreadable(name, _reason(error)) from error
        except MemoryError as error:
            raise OutOfMemoryError(f"{self._place(name)}: out of memory while it was read") from error

    def _unreadable(self, name: str, reason: str) -> DataError:
        return DataError(f"{self._place(name)}: {reason}; {_REMEDY}")

    def _place(self, name: str) -> str:
        return escaped(str(self.path / name))

    def config(self) -> ExperimentConfig:
        """The resolved configuration."""
        self._bytes(CONFIG)
        return read_config(self.path)

    def environment(self) -> dict[str, Any]:
        """Versions, machine, device and commit, as plain JSON values."""
        return self._json(ENVIRONMENT)

    def preprocessing(self) -> Preprocessing:
        """What the run expects of a sample and does to it."""
        document = self._json(PREPROCESSING)
        try:
            return preprocessing_from(document)
        except ValueError as error:
            raise self._unreadable(PREPROCESSING, f"this version cannot read it: {first_line(error)}") from error

    def _json(self, name: str) -> dict[str, Any]:
        data = self._bytes(name)
        try:
            return parse_json(data)
        except ValueError as error:
            raise self._unreadable(name, f"not JSON of a run: {first_line(error)}") from error

    def history(self) -> list[EpochRecord]:
        """One record an epoch; the only one of a fit in one call."""
        data = self._bytes(HISTORY)
        try:
            return parsed_history(data)
        except ValueError as error:
            raise self._unreadable(HISTORY, f"this version cannot read it: {first_line(error)}") from error

    def weights(self, most_bytes: int | None = None) -> dict[str, NDArray[Any]]:
        """The arrays of the weights file by canonical name, as they are there. most_bytes: what the file can have."""
        data = self._bytes(WEIGHTS, most_bytes)
        try:
            return parsed_weights(data)
        except ValueError as error:
            raise self._unreadable(WEIGHTS, first_line(error)) from error

    def has_estimator(self) -> bool:
        """Whether the run left a scikit-learn estimator in place of weights."""
        return ESTIMATOR in self._digests

    def estimator(self) -> bytes:
        """A fitted scikit-learn estimator in skops form, not loaded."""
        return self._bytes(ESTIMATOR)

    def predictions(self) -> dict[str, NDArray[Any]]:
        """The arrays of the test scores: y, labels, and logits and probabilities where the model has them."""
        data = self._bytes(PREDICTIONS)
        try:
            return parsed_predictions(data)
        except ValueError as error:
            raise self._unreadable(PREDICTIONS, f"not arrays of numbers: {first_line(error)}") from error


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else first_line(error)
