"""Faults that fuzzing found in the readers of samples, each with a minimal file."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from mlcli.errors import DataError
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling

TABLE = Preprocessing("table", (2,), ("a", "b"), ("f0", "f1"), None, Scaling("none"))


def read(path):
    for _ in open_samples(path, TABLE).batches():
        pass


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compressions_are_refused_before_anything_is_decompressed(tmp_path, compression):
    """A damaged LZMA stream raises LZMAError."""
    array = io.BytesIO()
    np.save(array, np.ones((3, 2)))
    with zipfile.ZipFile(tmp_path / "x.npz", "w", compression) as archive:
        archive.writestr("x.npy", array.getvalue())
    content = bytearray((tmp_path / "x.npz").read_bytes())
    content[44:60] = b"\xff\x55" * 8  # where the stream begins
    (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"array 'x': a compression that numpy does not write"):
        read(tmp_path / "x.npz")


@pytest.mark.parametrize("value", [1e300, -1e39, 2.0**63])
@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet"])
def test_values_too_large_for_float32_are_refused_with_their_position(tmp_path, value, suffix):
    """Such values overflowed in the engines: scikit-learn raised an exception, the others predicted NaN."""
    x = np.array([[1.0, 2.0], [3.0, value]])
    path = tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, x)
    else:
        import pandas as pd

        table = pd.DataFrame(x, columns=list(TABLE.feature_names))
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    with pytest.raises(
        DataError, match=r"sample 1 \(from 0\), column 'f1': .* is too large; expected a number up to 1e\+18"
    ):
        read(path)


def test_large_numbers_within_the_limit_are_read(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[1e17, -1e17]]))
    read(tmp_path / "x.npy")
