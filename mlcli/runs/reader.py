"""The files of a run, read back only after their checksums were verified. Nothing in them is executed."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlcli.config.experiment import parse_experiment
from mlcli.config.schema import ExperimentConfig
from mlcli.errors import ConfigError, DataError, OutOfMemoryError
from mlcli.models.weights import parsed_weights
from mlcli.records import EpochRecord, Metrics, Preprocessing, RunRecord, Scores
from mlcli.runs.directory import (
    CONFIG,
    ENVIRONMENT,
    ESTIMATOR,
    HISTORY,
    METRICS,
    PREDICTIONS,
    PREPROCESSING,
    WEIGHTS,
    RunDirectory,
)
from mlcli.runs.formats import parsed_history, parsed_predictions, preprocessing_from
from mlcli.runs.manifest import MANIFEST, check_digest, damage, read_error, read_manifest
from mlcli.text import escaped, first_line
from mlcli.untrusted import leads_outside, open_inside, parse_json, read_inside

if TYPE_CHECKING:
    from numpy.typing import NDArray

T = TypeVar("T")
_UNREADABLE = "has content that this version cannot read"
_LOSS_TOLERANCE = 1e-6  # relative; versions of numpy add in different orders


class VerifiedFiles:
    """The files that the manifest of a run lists, each verified against its sha256.

    Creating it raises DataError, naming the file, for a file that is missing or altered, and for a link anywhere in
    the directory that leads out of it. The methods raise DataError for a file that the manifest does not list and for
    content that this version cannot read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refuse_links_outside()
        self._digests = read_manifest(self.path)
        for name, digest in self._digests.items():
            self._verify(name, digest)

    def record(self) -> RunRecord:
        """Return the record; one without a checksum, of an earlier version, as `scored_record` does."""
        return RunDirectory(self.path).read_record() if METRICS in self._digests else self.scored_record()

    def scored_record(self) -> RunRecord:
        """Return the record with the test scores of the stored predictions, computed again; imports numpy.

        DataError if the record has other test scores. Without predictions it has none.
        """
        record = RunDirectory(self.path).read_record()
        recorded, metrics = record.metrics.get("test"), dict(record.metrics)
        if recorded is None:
            return record
        del metrics["test"]
        if PREDICTIONS in self._digests:
            found, is_exact = self._test_metrics()
            if not _is_same(recorded, found if is_exact else replace(found, loss=recorded.loss)):
                reason = f"was altered: its test accuracy or loss is not that of {PREDICTIONS}"
                raise self._failure(METRICS, f"{reason}, {_text(found)}")
            metrics["test"] = replace(found, largest_class_accuracy=recorded.largest_class_accuracy)
        return replace(record, metrics=metrics)

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

    def _test_metrics(self) -> tuple[Metrics, bool]:
        """Return the test scores of the stored predictions, and whether their loss is exact: computed from logits."""
        from mlcli.metrics.scores import full_score  # imports numpy

        arrays = self.predictions()
        scores = Scores(arrays["labels"], arrays.get("logits"), arrays.get("probabilities"))
        try:
            found = full_score(scores, arrays["y"])
        except DataError as error:
            raise self._failure(
                PREDICTIONS, f"has content that this version cannot read: {first_line(error)}"
            ) from error
        is_finite = found.loss is not None and math.isfinite(found.loss)
        return replace(found, loss=found.loss if is_finite else None), scores.logits is not None

    def _refuse_links_outside(self) -> None:
        folders = [str(self.path)]  # a stack, because folders can be nested deeper than Python recurses
        while folders:
            folder = folders.pop()
            try:
                entries = list(os.scandir(folder))
            except OSError as error:
                raise damage(Path(folder), f"cannot be read: {error.strerror}") from error
            for entry in entries:
                if entry.is_symlink() and leads_outside(Path(entry.path), self.path):
                    raise damage(Path(entry.path), "is a link that leads out of the run directory")
            folders += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]

    def _verify(self, name: str, digest: str) -> None:
        if leads_outside(self.path / name, self.path):
            raise self._failure(MANIFEST, f"lists {escaped(name)}, which lies outside the run directory")
        try:
            with open_inside(self.path, name) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise self._failure(name, "is missing") from error
        except (OSError, ValueError) as error:
            raise self._failure(name, f"cannot be read: {read_error(error)}") from error
        check_digest(self.path / name, found, digest)

    def _bytes(self, name: str, max_bytes: int | None = None) -> bytes:
        if name not in self._digests:
            raise DataError(f"{self._location(name)}: the run has no such file")
        try:
            return read_inside(self.path, name, max_bytes)
        except (OSError, ValueError) as error:
            raise self._failure(name, f"cannot be read: {read_error(error)}") from error
        except MemoryError as error:
            raise OutOfMemoryError(f"{self._location(name)}: out of memory while reading it") from error

    def _parsed(self, name: str, parse: Callable[[bytes], T], max_bytes: int | None = None) -> T:
        data = self._bytes(name, max_bytes)
        try:
            return parse(data)
        except ValueError as error:
            raise self._failure(name, f"{_UNREADABLE}: {read_error(error)}") from error

    def _failure(self, name: str, reason: str) -> DataError:
        return damage(self.path / name, reason)

    def _location(self, name: str) -> str:
        return escaped(str(self.path / name))


def _is_same(recorded: Metrics, found: Metrics) -> bool:
    if (recorded.accuracy, recorded.n_samples) != (found.accuracy, found.n_samples):
        return False
    if recorded.loss is None or found.loss is None:
        return recorded.loss is found.loss
    return math.isclose(recorded.loss, found.loss, rel_tol=_LOSS_TOLERANCE)


def _text(metrics: Metrics) -> str:
    loss = "" if metrics.loss is None else f" and {metrics.loss:.6g}"
    return f"{metrics.accuracy:.6g}{loss}"


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
        raise DataError(f"{location}: not the configuration of a run: {read_error(error)}") from error
    return _config_from(data, location)


def _config_from(data: bytes, location: str) -> ExperimentConfig:
    try:
        return parse_experiment(data, location)
    except ConfigError as error:
        more = f" (and {len(error.issues) - 1} more)" if len(error.issues) > 1 else ""
        raise DataError(f"{error.issues[0]}{more}\nthis is not the configuration of a run") from error
