"""The artifacts of a run, read back only after their checksums were found right. Nothing in them is executed."""

from __future__ import annotations

import hashlib
import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcli.errors import DataError
from mlcli.records import EpochRecord, Preprocessing
from mlcli.runs.file_names import CONFIG, ENVIRONMENT, ESTIMATOR, HISTORY, MANIFEST, PREDICTIONS, PREPROCESSING, WEIGHTS
from mlcli.runs.history_csv import parsed_history
from mlcli.runs.preprocessing_json import preprocessing_from

if TYPE_CHECKING:
    from numpy.typing import NDArray

_REMEDY = "restore the file from a copy, or train again"


class VerifiedFiles:
    """The files that the manifest of a run lists, each with the sha256 that it gives.

    DataError, naming the file, for one that is missing, altered, or reached by a link that leads out of the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._root = path.resolve()
        self._refuse_links_outside()
        self._digests = self._read_manifest()
        for name, digest in self._digests.items():
            self._verify(name, digest)

    def _refuse_links_outside(self) -> None:
        for entry in self.path.rglob("*"):
            if entry.is_symlink() and not entry.resolve().is_relative_to(self._root):
                raise DataError(f"{entry}: a link that leads out of the run directory; {_REMEDY}")

    def _read_manifest(self) -> dict[str, str]:
        path = self.path / MANIFEST
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["algorithm"] != "sha256":
                raise ValueError(f"algorithm {document['algorithm']!r}, expected 'sha256'")
            return {str(name): str(digest) for name, digest in document["files"].items()}
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing: the files of the run cannot be verified; {_REMEDY}") from error
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise DataError(f"{path}: not a manifest that this version can read: {error}; {_REMEDY}") from error

    def _verify(self, name: str, digest: str) -> None:
        path = self.path / name
        if not path.resolve().is_relative_to(self._root):
            raise DataError(f"{self.path / MANIFEST} lists {name}, which lies outside the run directory")
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError as error:
            raise DataError(f"{path} is missing; {_REMEDY}") from error
        except OSError as error:
            raise DataError(f"{path} cannot be read: {error.strerror}; {_REMEDY}") from error
        if found != digest:
            raise DataError(
                f"{path} was altered: its sha256 is {found[:12]}..., and the run left {digest[:12]}...\n{_REMEDY}"
            )

    def _bytes(self, name: str) -> bytes:
        if name not in self._digests:
            raise DataError(f"{self.path / name}: the run has no such file")
        return (self.path / name).read_bytes()

    @property
    def config_path(self) -> Path:
        """Where the resolved configuration lies."""
        self._bytes(CONFIG)
        return self.path / CONFIG

    def environment(self) -> dict[str, Any]:
        """Versions, machine, device and commit, as plain JSON values."""
        return self._json(ENVIRONMENT)

    def preprocessing(self) -> Preprocessing:
        """What the run expects of a sample and does to it."""
        try:
            return preprocessing_from(self._json(PREPROCESSING))
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"{self.path / PREPROCESSING}: this version cannot read it: {error}") from error

    def _json(self, name: str) -> dict[str, Any]:
        try:
            document = json.loads(self._bytes(name))
        except ValueError as error:
            raise DataError(f"{self.path / name}: not JSON: {error}") from error
        if not isinstance(document, dict):
            raise DataError(f"{self.path / name}: not a JSON object")
        return document

    def history(self) -> list[EpochRecord]:
        """One record an epoch; the only one of a fit in one call."""
        try:
            return parsed_history(self._bytes(HISTORY))
        except ValueError as error:
            raise DataError(f"{self.path / HISTORY}: this version cannot read it: {error}") from error

    def weights(self) -> dict[str, NDArray[Any]]:
        """The arrays of the weights file by canonical name, as they are there."""
        from safetensors import SafetensorError
        from safetensors.numpy import load

        try:
            return load(self._bytes(WEIGHTS))
        except (SafetensorError, KeyError) as error:
            raise DataError(f"{self.path / WEIGHTS}: not a safetensors file of numbers: {error}") from error

    def has_estimator(self) -> bool:
        """Whether the run left a scikit-learn estimator in place of weights."""
        return ESTIMATOR in self._digests

    def estimator(self) -> bytes:
        """A fitted scikit-learn estimator in skops form, not loaded."""
        return self._bytes(ESTIMATOR)

    def predictions(self) -> dict[str, NDArray[Any]]:
        """The arrays of the test scores: y, labels, and logits and probabilities where the model has them."""
        import numpy as np

        try:
            with np.load(BytesIO(self._bytes(PREDICTIONS)), allow_pickle=False) as arrays:
                # numpy before 2.1 takes the writer's allow_pickle=False for an array of that name.
                return {name: arrays[name] for name in arrays.files if name != "allow_pickle"}
        except (ValueError, OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.path / PREDICTIONS}: not arrays of numbers: {error}") from error
