"""Iris and digits, from the files that are installed with scikit-learn.

The files are read without importing scikit-learn, which takes over a second; where a release keeps them
elsewhere, its own loaders are asked.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mlcli.data.fingerprint import fingerprint
from mlcli.data.source import FetchReport, FileCheck, Log, Presence, SourceData, VerifyReport
from mlcli.errors import DataError
from mlcli.records import Split

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mlcli.records import DatasetInfo


@dataclass(frozen=True)
class EmbeddedSource:
    """Data that comes with scikit-learn: always there, never fetched."""

    info: DatasetInfo
    read_table: Callable[[], NDArray[np.float64]]  # (n, features + 1), the class in the last column
    dtype: str  # of the features as they are handed on

    def read(self, data_dir: Path, *, offline: bool, log: Log) -> SourceData:
        """All samples in the order of the file; data_dir and offline play no part."""
        table = self.read_table()
        n_features = int(np.prod(self.info.input_shape))
        if table.shape != (self.info.n_train, n_features + 1) or not np.isfinite(table).all():
            raise DataError(f"{self.info.name}: {_package_folder()} holds something else\n{_REMEDY}")
        x = table[:, :-1].reshape(-1, *self.info.input_shape).astype(self.dtype)
        y = table[:, -1].astype(np.int64)
        return SourceData(Split(x, y), None, fingerprint({"train_x": x, "train_y": y}))

    def presence(self, data_dir: Path) -> Presence:
        """Always there."""
        return Presence("embedded", None)

    def fetch(self, data_dir: Path, origin: str | None, *, offline: bool, log: Log) -> FetchReport:
        """Nothing to do."""
        return FetchReport(self.info.name, n_fetched=0, n_present=0, path=None)

    def verify(self, data_dir: Path) -> VerifyReport:
        """Whether the installed file can be read; scikit-learn gives no checksum to hold it against."""
        try:
            digest = self.read(data_dir, offline=True, log=lambda _: None).fingerprint
        except DataError as error:
            check = FileCheck(_package_folder(), "altered", str(error).splitlines()[0])
            return VerifyReport(self.info.name, (check,), usable=False)
        return VerifyReport(
            self.info.name, (FileCheck(_package_folder(), "ok", f"content {digest[:12]}"),), usable=True
        )


def iris(info: DatasetInfo) -> EmbeddedSource:
    """150 flowers, 4 lengths in centimetres, float32."""
    return EmbeddedSource(info, _iris_table, "float32")


def digits(info: DatasetInfo) -> EmbeddedSource:
    """1797 images of 8x8 pixels, values 0 to 16, uint8."""
    return EmbeddedSource(info, _digits_table, "uint8")


def _iris_table() -> NDArray[np.float64]:
    path = _package_folder() / "iris.csv"
    if path.is_file():
        return _parsed(path, n_header_lines=1)
    from sklearn.datasets import load_iris

    x, y = load_iris(return_X_y=True)
    return np.column_stack([x, y])


def _digits_table() -> NDArray[np.float64]:
    path = _package_folder() / "digits.csv.gz"
    if path.is_file():
        return _parsed(path, n_header_lines=0)
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return np.column_stack([x, y])


_REMEDY = "install scikit-learn again: pip install --force-reinstall --no-deps scikit-learn"


def _package_folder() -> Path:
    """Where scikit-learn keeps its data; looked up without importing it."""
    found = find_spec("sklearn")
    if found is None or found.origin is None:
        raise DataError("scikit-learn, which brings iris and digits, is not installed\npip install scikit-learn")
    return Path(found.origin).parent / "datasets" / "data"


def _parsed(path: Path, n_header_lines: int) -> NDArray[np.float64]:
    """The numbers of a comma-separated file, plain or gzipped; DataError for one that is not whole."""
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("ascii")
        lines = text.splitlines()[n_header_lines:]
        if not lines:
            raise ValueError("it is empty")
        return np.loadtxt(lines, delimiter=",", ndmin=2)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {error}\n{_REMEDY}") from error
