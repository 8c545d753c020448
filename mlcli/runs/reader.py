"""The files of a run, read back only after their checksums were verified. Nothing in them is executed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlcli.config.experiment import parse_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ConfigError, DataError, OutOfMemoryError
from mlcli.models.weights import parsed_weights
from mlcli.records import EpochRecord, Preprocessing
from mlcli.runs.directory import CONFIG, ENVIRONMENT, ESTIMATOR, HISTORY, MANIFEST, PREDICTIONS, PREPROCESSING, WEIGHTS
from mlcli.runs.formats import parsed_history, parsed_predictions, preprocessing_from
from mlcli.text import escaped, first_line
from mlcli.untrusted import leads_outside, open_inside, parse_json, read_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
_REMEDY = "restore the file from a copy, or train again"


class VerifiedFiles:
    """The files that the manifest of a run lists, each verified against its sha256.

    Creating it raises DataError, naming the file, for a file that is missing or altered, and for a link anywhere in
    the directory that leads out of it. The methods raise DataError for a file that the manifest does not list and for
    content that this version cannot read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refuse_links_outside()
        self._digests = self._read_manifest()
        for name, digest in self._digests.items():
            self._verify(name, digest)

    def config(self) -> ExperimentConfig:
        """Return the resolved configuration."""
        return _config_from(self._bytes(CONFIG), self._location(CONFIG))

    def environment(self) -> dict[str, Any]:
        """Return versions, machine, device and commit, as plain JSON values."""
        return self._parsed(ENVIRONMENT, parse_json)

    def preprocessing(self) -> Preprocessing:
        """Return what the run expects of a sample and does to it."""
        return self._parsed(PREPROCESSING, lambda data: preprocessing_from(parse_json(data)))

    def history(self) -> list[EpochRecord]:
        """Return one record per epoch; the only one of a single fit."""
        return self._parsed(HISTORY, parsed_history)

    def weights(self, max_bytes: int | None = None) -> dict[str, NDArray[Any]]:
        """Return the stored arrays by canonical name, not checked against a model. max_bytes: of the file."""
        return self._parsed(WEIGHTS, parsed_weights, max_bytes)

    def predictions(self) -> dict[str, NDArray[Any]]:
        """Return the test scores: y and labels int64 (n,), logits and probabilities float (n, classes) if stored."""
        return self._parsed(PREDICTIONS, parsed_predictions)

    def estimator(self) -> bytes:
        """Return a fitted scikit-learn estimator in skops form, not loaded."""
        return self._bytes(ESTIMATOR)

    def _refuse_links_outside(self) -> None:
        folders = [str(self.path)]  # a stack, because folders can be nested deeper than Python recurses
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise DataError(f"{escaped(folder)} cannot be read: {error.strerror}\n{_REMEDY}") from error
            for entry in entries:
                if entry.is_symlink() and leads_outside(Path(entry.path), self.path):
                    raise DataError(f"{escaped(entry.path)}: a link that leads out of the run directory\n{_REMEDY}")
            folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _read_manifest(self) -> dict[str, str]:
        try:
            document = parse_json(read_inside(self.path, MANIFEST))
            algorithm, files = document.get("algorithm"), document.get("files")
            if algorithm != "sha256":
                raise ValueError(f"algorithm {algorithm!r}, expected 'sha256'")
            if not isinstance(files, dict) or not all(isinstance(digest, str) for digest in files.values()):
                raise ValueError("it does not list files by name and sha256")
        except FileNotFoundError as error:
            raise self._failure(MANIFEST, "is missing: the files of the run cannot be verified") from error
        except (OSError, ValueError) as error:
            raise self._failure(MANIFEST, f"is not a manifest that this version can read: {_reason(error)}") from error
        return files

    def _verify(self, name: str, digest: str) -> None:
        if leads_outside(self.path / name, self.path):
            raise self._failure(MANIFEST, f"lists {escaped(name)}, which lies outside the run directory")
        try:
            with open_inside(self.path, name) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise self._failure(name, "is missing") from error
        except (OSError, ValueError) as error:
            raise self._failure(name, f"cannot be read: {_reason(error)}") from error
        if found != digest:
            expected = escaped(digest[:12])
            raise self._failure(name, f"was altered: its sha256 is {found[:12]}..., the manifest says {expected}...")

    def _bytes(self, name: str, max_bytes: int | None = None) -> bytes:
        if name not in self._digests:
            raise DataError(f"{self._location(name)}: the run has no such file")
        try:
            return read_inside(self.path, name, max_bytes)
        except (OSError, ValueError) as error:
            raise self._failure(name, f"cannot be read: {_reason(error)}") from error
        except MemoryError as error:
            raise OutOfMemoryError(f"{self._location(name)}: out of memory while reading it") from error

    def _parsed(self, name: str, parse: Callable[[bytes], T], max_bytes: int | None = None) -> T:
        data = self._bytes(name, max_bytes)
        try:
            return parse(data)
        except ValueError as error:
            raise self._failure(name, f"has content that this version cannot read: {_reason(error)}") from error

    def _failure(self, name: str, reason: str) -> DataError:
        return DataError(f"{self._location(name)} {reason}\n{_REMEDY}")

    def _location(self, name: str) -> str:
        return escaped(str(self.path / name))


def _reason(error: Exception) -> str:
    return str(error.strerror) if isinstance(error, OSError) else first_line(error)


def read_config(directory: Path) -> ExperimentConfig:
    """Return the resolved configuration in a run directory, regardless of the environment; not verified.

    DataError if it is missing, cannot be read, or extends another file, as no resolved configuration does.
    """
    location = escaped(str(directory / CONFIG))
    try:
        data = read_inside(directory, CONFIG)
    except FileNotFoundError as error:
        raise DataError(f"{location} is missing, so the run has no configuration") from error
    except (OSError, ValueError) as error:
        raise DataError(f"{location}: not the configuration of a run: {_reason(error)}") from error
    return _config_from(data, location)


def _config_from(data: bytes, location: str) -> ExperimentConfig:
    try:
        return parse_experiment(data, location)
    except ConfigError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        raise DataError(f"{error.issues[0]}{more}\nthis is not the configuration of a run") from error
