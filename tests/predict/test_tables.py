"""Samples from .csv and .parquet files."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest

from mlcli.errors import DataError, UsageError
from mlcli.predict import samples
from mlcli.predict.readers import open_samples
from mlcli.records import Preprocessing, Scaling
from mlcli.rendering import score_files

TABLE = Preprocessing("table", (3,), ("a", "b"), ("height", "width", "depth (cm)"), None, Scaling("none"))
PIXELS = Preprocessing("image", (1, 2, 2), ("a", "b"), (), (0.0, 255.0), Scaling("unit", scale=255.0))
ROWS = np.array([[1.5, 2, 0.1], [3, 4e-7, 1 / 3], [5, 6, 7], [8, 9, 10]])


@pytest.fixture(autouse=True)
def _batches_of_two(monkeypatch):
    monkeypatch.setattr(samples, "rows_per_batch", lambda expected: 2)


def read(path, expected=TABLE):
    return np.concatenate([batch.x for batch in open_samples(path, expected).batches()])


def written(tmp_path, text):
    path = tmp_path / "x.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def as_csv(frame):
    return frame.to_csv(index=False)


FRAME = pd.DataFrame(ROWS, columns=TABLE.feature_names)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_columns_are_matched_by_name(tmp_path, order):
    shuffled = FRAME[[TABLE.feature_names[i] for i in order]]
    np.testing.assert_allclose(read(written(tmp_path, as_csv(shuffled))), ROWS, rtol=1e-15)
    shuffled.to_parquet(tmp_path / "x.parquet")
    assert np.array_equal(read(tmp_path / "x.parquet"), ROWS)


def test_numbers_are_read_in_float64(tmp_path):
    x = np.random.default_rng(0).standard_normal((500, 3)) * 10.0 ** np.arange(-8, 7, 6)
    path = written(tmp_path, as_csv(pd.DataFrame(x, columns=TABLE.feature_names)))
    np.testing.assert_allclose(read(path), x, rtol=4e-16)  # older versions of pandas miss the last bit


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffheight,width,depth (cm)\n1,2,3\n",  # as Excel writes it
        "height, width, depth (cm)\n1, 2, 3\n",
        '"height","width","depth (cm)"\r\n1,2,3\r\n',
        "\nheight,width,depth (cm)\n\n1,2,3",
        "height,width,depth (cm)\n1.0,2e0,+3\n",
    ],
)
def test_variants_of_the_same_table_are_read_alike(tmp_path, text):
    assert np.array_equal(read(written(tmp_path, text)), [[1, 2, 3]])


def test_the_error_names_missing_unexpected_and_expected_columns(tmp_path):
    path = written(tmp_path, "height,length\n1,2\n")
    with pytest.raises(DataError) as caught:
        open_samples(path, TABLE)
    assert "missing columns: 'width', 'depth (cm)'" in str(caught.value)
    assert "unexpected columns: 'length'" in str(caught.value)
    assert "expected height, width, depth (cm)" in str(caught.value)
    FRAME.assign(species="x").to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="unexpected columns: 'species'"):
        open_samples(tmp_path / "x.parquet", TABLE)


def test_a_repeated_column_is_refused(tmp_path):
    with pytest.raises(DataError, match="'width' appears more than once"):
        open_samples(written(tmp_path, "height,width,width,depth (cm)\n1,2,2,3\n"), TABLE)


@pytest.mark.parametrize("cell", ["six", "1_000", "0x10", "True", "2020-01-01", "1;5"])
def test_the_error_for_a_text_names_its_row_and_column(tmp_path, cell):
    frame = FRAME.astype(object)
    frame.loc[2, "width"] = cell
    with pytest.raises(DataError, match=rf"sample 2 \(from 0\), column 'width': '{cell}' is not a number"):
        read(written(tmp_path, as_csv(frame)))


def test_booleans_are_not_numbers(tmp_path):
    with pytest.raises(DataError, match=r"sample 0 \(from 0\), column 'width': 'True' is not a number"):
        read(written(tmp_path, "height,width,depth (cm)\n1,True,3\n4,False,6\n"))


def test_the_error_for_a_missing_value_names_its_row_and_column(tmp_path):
    frame = FRAME.copy()
    frame.loc[3, "depth (cm)"] = np.nan
    with pytest.raises(DataError, match=r"sample 3 \(from 0\), column 'depth \(cm\)': missing value"):
        read(written(tmp_path, as_csv(frame)))
    frame.to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match=r"sample 3 \(from 0\), column 'depth \(cm\)': missing value"):
        read(tmp_path / "x.parquet")


def test_an_infinite_number_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"sample 0 \(from 0\), column 'width': inf"):
        read(written(tmp_path, "height,width,depth (cm)\n1,inf,3\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("height,width,depth (cm)\n", "contains no samples"),
        ("height,width,depth (cm)\n1,2,3,4\n", "a row has more cells"),
        ("height,width,depth (cm)\n1,2,3\n1,2,3,4\n", "Expected 3 fields"),
        ("height,width,depth (cm)\n1,2\n", "missing value"),
        (b"\xff\xfe\x00", "not a table"),
        ('height,width,depth (cm)\n1,2,"3\n', "not a table"),
    ],
)
def test_files_without_such_a_table_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        read(written(tmp_path, text))


def test_pixels_need_no_header(tmp_path):
    expected = np.arange(12).reshape(3, 1, 2, 2)
    rows = "0,1,2,3\n4,5,6,7\n8,9,10,11\n"
    assert np.array_equal(read(written(tmp_path, rows), PIXELS), expected)
    assert np.array_equal(read(written(tmp_path, "p0,p1,p2,p3\n" + rows), PIXELS), expected)
    assert np.array_equal(read(written(tmp_path, "p,p,p,p\n" + rows), PIXELS), expected)
    pd.DataFrame(expected.reshape(3, 4), columns=list("abcd")).to_parquet(tmp_path / "x.parquet")
    assert np.array_equal(read(tmp_path / "x.parquet", PIXELS), expected)


def test_more_columns_than_pixels_are_refused(tmp_path):
    with pytest.raises(DataError, match="5 columns, expected 4, one for each pixel of 2 x 2"):
        open_samples(written(tmp_path, "label,0,1,2,3\n7,0,1,2,3\n"), PIXELS)


def test_text_in_a_parquet_column_is_refused(tmp_path):
    FRAME.assign(width="a").to_parquet(tmp_path / "x.parquet")
    with pytest.raises(DataError, match="column 'width' contains .*string, expected numbers"):
        open_samples(tmp_path / "x.parquet", TABLE)


def test_parquet_files_of_another_format_or_without_samples_are_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 or not")
    with pytest.raises(DataError, match="not a readable Parquet file"):
        open_samples(tmp_path / "x.parquet", TABLE)
    FRAME.head(0).to_parquet(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="contains no samples"):
        open_samples(tmp_path / "none.parquet", TABLE)


def test_the_error_without_pyarrow_names_the_command_that_installs_it(tmp_path, monkeypatch):
    FRAME.to_parquet(tmp_path / "x.parquet")
    monkeypatch.setattr(score_files, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'mlcli\[parquet\]'"):
        open_samples(tmp_path / "x.parquet", TABLE)
    assert "pyarrow" in sys.modules  # installed here; only the answer was changed
