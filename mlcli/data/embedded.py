"""Iris, wine, breast cancer and digits, read from the data files that are installed with scikit-learn.

The files are read without importing scikit-learn, which takes over a second. If a release stores them elsewhere, its
loaders are used instead.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlcli.data.source import FetchReport, FileCheck, Log, Presence, SourceData, VerifyReport, fingerprint
from mlcli.errors import DataError
from mlcli.records import DatasetInfo, Split

_REMEDY = "reinstall scikit-learn: pip install --force-reinstall --no-deps scikit-learn"


@dataclass(frozen=True)
class EmbeddedSource:
    """Data that is installed with scikit-learn: always available, never fetched."""

    info: DatasetInfo
    read_table: Callable[[], NDArray[np.float64]]  # (n, features + 1), the class in the last column
    dtype: str  # storage dtype of the features
    fingerprint_dtype: str | None = None  # of the features in the fingerprint; None: dtype

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """Return all samples in the order of the file; the arguments are ignored."""
        table = self.read_table()
        n_features = math.prod(self.info.input_shape)
        if table.shape != (self.info.n_train, n_features + 1) or not np.isfinite(table).all():
            raise DataError(f"{self.info.name}: unexpected content in {_package_folder()}\n{_REMEDY}")
        x = table[:, :-1].reshape(-1, *self.info.input_shape).astype(self.dtype)
        y = table[:, -1].astype(np.int64)
        digest = fingerprint({"train_x": x.astype(self.fingerprint_dtype or self.dtype), "train_y": y})
        return SourceData(Split(x, y), None, digest)

    def presence(self, data_dir: Path) -> Presence:
        """Return that it is embedded."""
        return Presence("embedded", None)

    def fetch(self, data_dir: Path, mirror: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Return that no file was fetched."""
        return FetchReport(self.info.name, n_fetched=0, n_present=0, path=None)

    def verify(self, data_dir: Path) -> VerifyReport:
        """Check that the installed file can be read; scikit-learn publishes no checksum of it."""
        folder = _package_folder()
        try:
            digest = self.read(data_dir, offline=True, log=lambda _: None).fingerprint
        except DataError as error:
            check = FileCheck(folder, "altered", str(error).splitlines()[0])
        else:
            check = FileCheck(folder, "ok", f"content {digest[:12]}")
        return VerifyReport(self.info.name, (check,), usable=check.state == "ok")


def iris(info: DatasetInfo) -> EmbeddedSource:
    """Return the source of 150 flowers: 4 lengths in centimetres, float64.

    The fingerprint is that of float32 values, which earlier versions stored, so that their runs stay comparable.
    """
    return EmbeddedSource(info, partial(_read_table, "iris.csv", 1, "load_iris"), "float64", "float32")


def wine(info: DatasetInfo) -> EmbeddedSource:
    """Return the source of 178 wines: 13 measurements, float64."""
    return EmbeddedSource(info, partial(_read_table, "wine_data.csv", 1, "load_wine"), "float64")


def breast_cancer(info: DatasetInfo) -> EmbeddedSource:
    """Return the source of 569 tumours: 30 measurements, float64."""
    return EmbeddedSource(info, partial(_read_table, "breast_cancer.csv", 1, "load_breast_cancer"), "float64")


def digits(info: DatasetInfo) -> EmbeddedSource:
    """Return the source of 1797 images: 8x8 pixels from 0 to 16, uint8."""
    return EmbeddedSource(info, partial(_read_table, "digits.csv.gz", 0, "load_digits"), "uint8")


def _read_table(file_name: str, n_header_lines: int, loader: str) -> NDArray[np.float64]:
    """Return the numbers of a comma-separated file, plain or gzipped; DataError if it is damaged."""
    path = _package_folder() / file_name
    if not path.is_file():
        import sklearn.datasets

        return np.column_stack(getattr(sklearn.datasets, loader)(return_X_y=True))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # an empty file is only warned about
            return np.loadtxt(path, delimiter=",", skiprows=n_header_lines, ndmin=2, encoding="ascii")
    except (OSError, EOFError, ValueError, UserWarning, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}\n{_REMEDY}") from error


def _package_folder() -> Path:
    """Return the data folder of the installed scikit-learn, found without importing it."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("embedded data need scikit-learn, which is not installed\npip install scikit-learn")
    return Path(found.origin).parent / "datasets" / "data"
