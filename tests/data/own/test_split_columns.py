from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.errors import DataError, UsageError

N_ROWS = 120


@pytest.fixture
def table():
    """Rows in random order: `x` is the number of the row, so that the rows of a split can be found again."""
    generator = np.random.default_rng(0)
    days = generator.permutation(N_ROWS)
    return pd.DataFrame(
        {
            "x": range(N_ROWS),
            "patient": [f"{number:03}" for number in generator.integers(20, size=N_ROWS)],
            "day": days,
            "date": [f"2024-{1 + day // 28:02}-{1 + day % 28:02}" for day in days.tolist()],
            "part": [("train", "TRAIN ", "training", "val", "test")[number % 5] for number in range(N_ROWS)],
            "t": generator.choice(["a", "b"], N_ROWS),
        }
    )


def split_rows(table, tmp_path, name="t.csv", **settings):
    """Return the dataset, and the positions of its rows by split."""
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_csv(tmp_path / name, index=False)
    dataset = own_dataset(DatasetConfig(path=str(tmp_path / name), target="t", **settings))
    position = dataset.info.feature_names.index("x")
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    return dataset, {name: split.x[:, position].astype(int) for name, split in splits.items() if split is not None}


@pytest.mark.parametrize("settings", [{}, {"validation": 0.2}, {"folds": 5, "fold": 3}, {"test": 0.4, "limit": 10}])
def test_no_group_is_on_both_sides_of_a_split(settings, table, tmp_path):
    dataset, rows = split_rows(table, tmp_path, group="patient", **settings)
    groups = [set(table["patient"].iloc[found]) for found in rows.values()]
    assert sum(map(len, groups)) == len(set.union(*groups))
    assert len(rows["test"]) == pytest.approx(settings.get("test", 0.2) * N_ROWS, rel=0.25)
    assert len(rows["train"]) == 10 or sum(map(len, rows.values())) == N_ROWS
    assert "'patient' decides the splits; dataset.columns can make it a feature" in dataset.notes[-1]


def test_groups_are_compared_as_text(table, tmp_path):
    table["patient"] = [("007", "7", "7.0", "08")[number % 4] for number in range(N_ROWS)]
    _, rows = split_rows(table, tmp_path, group="patient", test=0.25)
    assert [len(set(table["patient"].iloc[found])) for found in rows.values()] == [3, 1]


@pytest.mark.parametrize("column", ["day", "date"])
@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_the_latest_rows_are_held_out(column, name, table, tmp_path):
    if name == "t.parquet":
        table["date"] = pd.to_datetime(table["date"]).dt.date
    _, rows = split_rows(table, tmp_path, name, time=column, validation=0.25)
    days = {split: table["day"].iloc[found] for split, found in rows.items()}
    assert [len(found) for found in days.values()] == [72, 24, 24]
    assert days["train"].max() < days["validation"].min() <= days["validation"].max() < days["test"].min()
    assert days["train"].tolist() != sorted(days["train"])  # so that a limit takes a fair sample


@pytest.mark.parametrize(
    "dates",
    [
        ("2024-01-31T23:59:00Z", "2024-02-01T01:30:00+02:00", "2024-02-01"),
        ("2024-01", "2024-02", "2024-10"),
        ("31.1.2024", "2024-02-01", "1.10.2024"),
        ("9/30/2023", "1/31/2024", "10/1/2024"),
        ("-1e3", "-2", "10"),
        ("2023-12-31 10:00", "2023-12-31 10:00:01.5", "2024-01-01"),
    ],
)
def test_times_are_numbers_or_dates(dates, table, tmp_path):
    table["date"] = np.repeat(dates, 40)
    if "T" in dates[0]:
        dates = (dates[1], dates[0], dates[2])  # 23:30 in UTC
    _, rows = split_rows(table, tmp_path, time="date", test=0.3)
    assert set(table["date"].iloc[rows["test"]]) == {dates[2]}


def test_later_rows_are_not_used_in_folds_of_time(table, tmp_path):
    dataset, rows = split_rows(table, tmp_path, time="day", folds=5, fold=1)
    assert sorted(table["day"].iloc[rows["train"]]) == list(range(40))
    assert sorted(table["day"].iloc[rows["test"]]) == list(range(40, 60))
    assert "fold 1 of 5 in time: the 60 later samples are not used" in dataset.notes


def test_a_column_says_the_split_of_each_row(table, tmp_path):
    _, rows = split_rows(table, tmp_path, split_column="part")
    assert {name: len(found) for name, found in rows.items()} == {"train": 72, "validation": 24, "test": 24}
    assert set(table["part"].iloc[rows["test"]]) == {"test"}
    assert set(table["part"].iloc[rows["validation"]]) == {"val"}
    table["part"] = table["part"].replace("val", "train")
    _, rows = split_rows(table, tmp_path, split_column="part", validation=0.25)
    assert {name: len(found) for name, found in rows.items()} == {"train": 72, "validation": 24, "test": 24}
    assert set(table["part"].iloc[rows["test"]]) == {"test"}


def test_a_column_that_decides_the_splits_is_a_feature_only_if_columns_says_so(table, tmp_path):
    dataset, _ = split_rows(table, tmp_path, group="patient")
    assert [column.name for column in dataset.info.encoding.columns] == ["x", "day", "date", "part"]
    dataset, _ = split_rows(table, tmp_path, time="day")
    assert "day" not in dataset.info.feature_names
    dataset, _ = split_rows(table, tmp_path, time="day", columns={"day": "numeric", "part": "ignore"})
    assert "day" in dataset.info.feature_names


@pytest.mark.parametrize(
    ("settings", "change", "error", "message"),
    [
        ({"group": "patent"}, {}, UsageError, "dataset.group: .*no column 'patent' .did you mean 'patient'"),
        ({"time": "t"}, {}, UsageError, "dataset.time: 't' is the target"),
        ({"split_column": "part", "columns": {"part": "categorical"}}, {}, UsageError, "'part' decides the splits and"),
        ({"split_column": "part", "validation": 0.2}, {}, UsageError, "dataset.validation: 0.2, but rows of column"),
        ({"split_column": "part", "validation": "test"}, {}, UsageError, "dataset.validation: test, but rows of"),
        ({"group": "patient"}, {"patient": "1"}, UsageError, "all samples are of one group"),
        ({"group": "patient", "folds": 30}, {}, UsageError, "30 folds of 20 groups"),
        ({"time": "day"}, {"day": 5}, UsageError, "all rows have the same time"),
        (
            {"time": "part"},
            {},
            DataError,
            r"row 1 \(from 1\), column 'part' \(dataset.time\): 'train'\nexpected a numb",
        ),
        ({"time": "date"}, {"date": ["2024-02-30", *["2024-01-01"] * 119]}, DataError, "row 1 .*'2024-02-30'"),
        (
            {"time": "date"},
            {"date": "1/2/2024"},
            DataError,
            "'date' holds dates whose order of day and month is unknown",
        ),
        ({"time": "day"}, {"day": ["inf", *range(119)]}, DataError, "row 1 .*'inf'"),
        ({"time": "day"}, {"day": ["2024-01-01", *range(119)]}, DataError, "row 1 .*'2024-01-01'"),
        ({"time": "day"}, {"day": ["9" * 400, *range(119)]}, DataError, "row 1 .*'9999"),
        ({"time": "day"}, {"day": [True, False] * 60}, DataError, "row 1 .*'True'"),
        (
            {"split_column": "part"},
            {"part": ["train", "test", "dev"] * 40},
            DataError,
            r"says 'dev' \(40 rows\)\nexpected",
        ),
        ({"split_column": "part"}, {"part": "train"}, DataError, "says test in no row"),
        ({"split_column": "part"}, {"part": "val"}, DataError, "says train and test in no row"),
        *(
            (
                {key: "part"},
                {"part": ["train", "NA", *["test"] * 118]},
                DataError,
                rf"row 2 .*\(dataset.{key}\), as in 1 of",
            )
            for key in ("group", "time", "split_column")
        ),
    ],
)
def test_a_column_that_cannot_decide_the_splits_is_refused(settings, change, error, message, table, tmp_path):
    with pytest.raises(error, match=message):
        split_rows(table.assign(**change), tmp_path, **settings)
