from __future__ import annotations

import gzip

import pandas as pd
import pytest

from mlcli.data.own.table_file import TableFile
from mlcli.errors import DataError, UsageError

ROWS = [["1", "x, y", "007"], ["2", 'a "b"', "008"], ["", "z", "NA"]]


def read(path, texts=(), n_rows=None):
    file = TableFile(path, ("", "NA"), texts)
    return pd.concat(file.read(file.column_names(), n_rows))


def written(path, delimiter, line_end="\n", encoding="utf-8"):
    table = pd.DataFrame(ROWS, columns=["n", "text", "code"])
    content = table.to_csv(index=False, sep=delimiter, lineterminator=line_end).encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.txt", "t.csv.gz"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_delimiters_quotes_and_compression_are_recognised(name, delimiter, line_end, tmp_path):
    table = read(written(tmp_path / name, delimiter, line_end), texts=("code",))
    assert table["n"].fillna(0).tolist() == [1, 2, 0]
    assert table["text"].tolist() == ["x, y", 'a "b"', "z"]
    assert table["code"].fillna("missing").tolist() == ["007", "008", "missing"]


def test_a_byte_order_mark_is_not_part_of_a_name(tmp_path):
    assert TableFile(written(tmp_path / "t.csv", ",", encoding="utf-8-sig"), ()).column_names() == ("n", "text", "code")


def test_names_are_stripped_made_printable_and_never_empty(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(" a ,\x1b[2J,,b\n1,2,3,4\n")
    assert TableFile(path, ()).column_names() == ("a", "\\x1b[2J", "column 3", "b")


def test_without_a_header_the_first_line_is_a_row_and_the_columns_are_numbered(tmp_path):
    path = tmp_path / "t.data"
    path.write_text("\n5.1;Iris-setosa\n4.9;Iris-virginica\n\n")
    file = TableFile(path, (), has_header=False)
    assert file.first_number() == "5.1"
    assert file.column_names() == ("column 1", "column 2")
    table = pd.concat(file.read(file.column_names(), 1))
    assert table.to_numpy().tolist() == [[5.1, "Iris-setosa"], [4.9, "Iris-virginica"]]
    path.write_text("nan,inf,name\n1,2,x\n")
    assert file.first_number() is None


def test_numbers_are_read_exactly(tmp_path):
    numbers = [0.1 + 0.2, 1e-300, 123456789.123456789, 2 / 3, 5e-324]
    path = tmp_path / "t.csv"
    path.write_text("x,y\n" + "".join(f"{number!r},a\n" for number in numbers))
    assert read(path)["x"].tolist() == numbers


def test_frames_of_a_few_rows_continue_the_row_numbers(tmp_path):
    path = written(tmp_path / "t.csv", ",")
    table = pd.read_csv(path)
    table.to_parquet(tmp_path / "t.parquet", index=False)
    for file in (path, tmp_path / "t.parquet"):
        frames = list(TableFile(file, ("", "NA")).read(["n"], 2))
        assert [frame.index.tolist() for frame in frames] == [[0, 1], [2]]


def test_a_parquet_file_has_the_values_of_a_text_file(tmp_path):
    table = pd.DataFrame(
        {
            "number": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "text": ["NA", "a", ""],
            "category": pd.Categorical(["u", "v", "u"]),
            "list": [[1], [2], None],
        }
    )
    table.to_parquet(tmp_path / "t.parquet", index=False)
    found = read(tmp_path / "t.parquet")
    assert found["number"].fillna(-1).tolist() == [1, -1, 3]
    assert found["flag"].tolist() == [True, False, True]
    assert found["text"].isna().tolist() == [True, False, True]
    assert found["category"].tolist() == ["u", "v", "u"]
    assert found["list"].fillna("").tolist() == ["[1]", "[2]", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"t\.csv: the file is empty"),
        (b"\n\n", r"the file is empty"),
        (b"a,b,a\n1,2,3\n", r"column 'a' appears more than once; rename one of them\n.*dataset.header=false"),
        (b"a,b\n1,2\n3\n", r"t\.csv:3: 1 cell, and the first line has 2"),
        (b"a,b\n1,2\n3,4,5\n", r"t\.csv:3: 3 cells, and the first line has 2\n1 damaged row: line 3\ncorrect them$"),
        (b"a,b\n1,2,3\n3,4,5\n", r"t\.csv:2: 3 cells, and .*\n2 damaged rows: line 2, line 3\n"),
        (b"a,b\n\xe9,2\n", r"not UTF-8 text: .*\nsave it as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16"), r"not UTF-8 text: .*\nsave it as UTF-8, e.g. with: iconv -f utf-16 "),
        (b'a,b\n"1,2\n', r"EOF inside string"),
        (b"a" * 2**20 + b",b\n1,2\n", r"a first line of 1,048,576 characters or more"),
    ],
)
def test_a_file_that_is_no_table_is_refused(content, message, tmp_path):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "content"),
    [("t.csv.gz", gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9]), ("t.csv.gz", b"a,b"), ("t.parquet", b"PAR1PAR1")],
)
def test_a_damaged_file_is_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=r"not a readable table|cannot be read"):
        read(tmp_path / name)


def test_a_gzipped_file_that_expands_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mlcli.data.own.table_file.MAX_TABLE_BYTES", 10_000)
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 10_000))
    with pytest.raises(DataError, match=r"expands to more than 10,000 bytes"):
        read(tmp_path / "t.csv.gz")


def test_a_missing_file_a_folder_and_another_kind_of_file_are_refused(tmp_path):
    (tmp_path / "t.csv").mkdir()
    for name, error, message in [
        ("none.csv", DataError, "none.csv: no such file"),
        ("t.csv", DataError, "not a regular file"),
        ("t.xlsx", UsageError, r"cannot read this kind of file; use \.csv, \.tsv"),
    ]:
        with pytest.raises(error, match=message):
            list(TableFile(tmp_path / name, ()).read(["a"]))


def test_the_digest_is_that_of_the_content(tmp_path):
    plain, zipped = (TableFile(written(tmp_path / name, ","), ()).digest() for name in ("t.csv", "t.csv.gz"))
    assert plain == zipped
