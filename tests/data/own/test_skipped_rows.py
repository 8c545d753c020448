from __future__ import annotations

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.load import preprocessing_of
from mlcli.data.own import own_dataset, preparation, stored_dataset
from mlcli.errors import DataError

GOOD = [f"{number},{'ab'[number % 2]},{'xy'[number // 2 % 2]}" for number in range(40)]
BAD = ["7,a", "8,b,x,9", "old,a,x", "9,,x", '5,"NA",y', '"1\n2",a,x']


def dataset_of(path, rows, **settings):
    path.write_text("\n".join(["n,t,c", *rows]) + "\n")
    return own_dataset(DatasetConfig(path=str(path), target="t", **settings))


@pytest.fixture
def mixed():
    """Good rows with damaged ones among them."""
    rows = list(GOOD)
    for number, row in enumerate(BAD):
        rows.insert(6 * number + 3, row)
    return rows


@pytest.mark.parametrize("large_bytes", [0, 2**30])
def test_damaged_rows_are_left_out_counted_and_listed(mixed, large_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "LARGE_BYTES", large_bytes)
    expected = dataset_of(tmp_path / "good.csv", GOOD)
    for name in ("bad.csv", "again.csv"):  # the second is prepared already if it is large
        found = dataset_of(tmp_path / name, mixed, on_bad="skip")
        np.testing.assert_array_equal(found.train.x, expected.train.x)
        np.testing.assert_array_equal(found.test.y, expected.test.y)
        assert found.notes[-1] == (
            "skipped 6 damaged rows: line 5, line 11, row 14, row 20 (no label), row 26 (no label), row 32"
        )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*GOOD, BAD[0]], r"t\.csv:42: 2 cells, and the first line has 3\n1 damaged row: line 42\n.*--on-bad skip"),
        ([*GOOD, BAD[1], BAD[1]], r"t\.csv:42: 4 cells, .*\n2 damaged rows: line 42, line 43\n"),
        ([*GOOD, BAD[2]], r"'old'.*--on-bad skip"),
        ([*GOOD, BAD[3], GOOD[0], BAD[3]], r"2 of 43 rows\nremove these rows \(41, 43\) or .* --on-bad skip"),
    ],
)
def test_damaged_rows_stop_by_default_with_what_to_do(rows, message, tmp_path):
    with pytest.raises(DataError, match=message.replace(".*", "(.|\n)*")):
        dataset_of(tmp_path / "t.csv", rows)


def test_values_of_another_kind_than_that_of_a_column_are_damage(tmp_path):
    columns = {"n": "numeric", "c": "boolean"}
    rows = [row.replace("x", "yes").replace("y", "no", 1) if "x" in row else row.replace("y", "no") for row in GOOD]
    rows = [row.replace("noes", "yes") for row in rows]
    dataset = dataset_of(tmp_path / "t.csv", [*rows, "inf,a,yes", "1,b,maybe"], columns=columns, on_bad="skip")
    assert dataset.notes[-1] == "skipped 2 damaged rows: row 41, row 42"


def test_another_file_is_scored_without_its_damaged_rows(mixed, tmp_path):
    run = dataset_of(tmp_path / "good.csv", GOOD)
    (tmp_path / "bad.csv").write_text("\n".join(["n,t,c", *mixed]) + "\n")
    config = DatasetConfig(path=str(tmp_path / "bad.csv"), target="t", on_bad="skip", test="train")
    found = stored_dataset(config, preprocessing_of(run))
    assert len(found.test) == 40
    assert found.notes[-1].startswith("skipped 6 damaged rows: line 5")


def test_a_quote_that_is_not_closed_does_not_swallow_the_rest(tmp_path):
    with pytest.raises(DataError, match="line 12: EOF inside string: a quote is not closed"):
        dataset_of(tmp_path / "t.csv", [*GOOD[:10], '1,"a,x', *GOOD[10:]], on_bad="skip")
