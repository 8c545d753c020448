from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.data.own.dates import UNKNOWN_ORDER, date_order, date_seconds
from mlcli.data.own.encoding import encode, fit_encoding
from mlcli.data.own.inspection import inspected
from mlcli.errors import DataError
from tests.fixtures.tables import rows_of_split

N_ROWS = 200
PARTS = ["year", "month", "day", "weekday", "days"]


@pytest.fixture
def visits(tmp_path):
    """A table with dates and times, some of them missing, before and after 1970."""
    generator = np.random.default_rng(0)
    when = pd.Timestamp("1968-02-20 00:00") + pd.to_timedelta(generator.integers(0, 9 * 10**7, N_ROWS), unit="s")
    table = pd.DataFrame({"when": when, "day": when.floor("D").strftime("%d.%m.%Y"), "label": ["a", "b"] * 100})
    table["when"] = table["when"].mask(generator.random(N_ROWS) < 0.1)
    path = tmp_path / "visits.csv"
    table.to_csv(path, index=False)
    return path


def parts_by_hand(dates):
    """Return the features of dates, computed with pandas."""
    day = dates.dt
    parts = [day.year, day.month, day.day, day.day_of_week, (dates - pd.Timestamp(0)) / pd.Timedelta(days=1)]
    if (dates != dates.dt.floor("D")).any():
        parts.append((dates - dates.dt.floor("D")) / pd.Timedelta(hours=1))
    return np.column_stack(parts)


def test_features_of_dates_are_those_computed_with_pandas(visits):
    dataset = own_dataset(DatasetConfig(path=str(visits), target="label"))
    assert dataset.info.feature_names == (
        *[f"when ({part})" for part in [*PARTS, "hour", "missing"]],
        *[f"day ({part})" for part in PARTS],
    )
    table = pd.read_csv(visits, parse_dates=["when"])
    table["day"] = pd.to_datetime(table["day"], format="%d.%m.%Y")
    train, test = rows_of_split(visits, "label")
    filled = table["when"].fillna(table["when"].iloc[train].median())
    by_hand = np.column_stack([parts_by_hand(filled), table["when"].isna(), parts_by_hand(table["day"])])
    mean, deviation = by_hand[train].mean(axis=0), by_hand[train].std(axis=0)
    for name, rows in {"train": train, "test": test}.items():
        np.testing.assert_allclose(getattr(dataset, name).x, by_hand[rows], rtol=1e-12, atol=1e-12)
        scaled = (getattr(dataset, name).x - dataset.scaling.shift) / dataset.scaling.scale
        np.testing.assert_allclose(scaled, (by_hand[rows] - mean) / deviation, rtol=0, atol=1e-12)


def test_dates_of_a_parquet_file_are_those_of_the_csv_file(visits):
    table = pd.read_csv(visits, parse_dates=["when"])
    table["day"] = pd.to_datetime(table["day"], format="%d.%m.%Y").dt.date
    table["when"] = table["when"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")
    table.to_parquet(visits.with_suffix(".parquet"), index=False)
    csv, parquet = (
        own_dataset(DatasetConfig(path=str(path), target="label")) for path in (visits, visits.with_suffix(".parquet"))
    )
    np.testing.assert_array_equal(parquet.train.x, csv.train.x)


@pytest.mark.parametrize(
    ("texts", "order"),
    [
        (["2024-01-31", "2024-1-5 7:30", "2024-01-31T07:30:15.25+02:00"], "ymd"),
        (["1.2.2024", "01.02.2024 14:30"], "dmy"),
        (["1/31/2024", "1/2/2024 7:05"], "mdy"),
        (["31/1/2024", "2024-01-31"], "dmy"),
        (["1/2/2024", "3/4/2024"], UNKNOWN_ORDER),
        (["31/1/2024", "1/31/2024"], UNKNOWN_ORDER),
        (["1.31.2024"], UNKNOWN_ORDER),
        (["2024-01-31", "soon"], None),
        (["2024", "2024-01", "20240131"], None),
        (["1.2.24"], None),
    ],
)
def test_how_dates_are_written_is_decided_by_stated_rules(texts, order):
    assert date_order(texts) == order


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("2024-02-29", "ymd", "2024-02-29"),
        ("2024-02-29 25:00", "ymd", None),
        ("2023-02-29", "ymd", None),
        ("9999-12-31", "ymd", "9999-12-31"),
        ("2024-01-31T23:00-02:30", "ymd", "2024-02-01 01:30"),
        ("2024-01-31 07:05:01Z", "ymd", "2024-01-31 07:05:01"),
        ("31.1.2024 7:05", "dmy", "2024-01-31 07:05"),
        ("1/31/2024", "mdy", "2024-01-31"),
        ("1/31/2024", "dmy", None),
        ("1.12.2024", "mdy", None),
        ("1/12/2024", "ymd", None),
        ("2024-01-31", "mdy", "2024-01-31"),
        ("0000-01-01", "ymd", None),
    ],
)
def test_a_date_in_seconds(text, order, expected):
    (seconds,) = date_seconds(pd.Series([text]), order)
    assert seconds == (np.inf if expected is None else np.datetime64(expected, "s").astype(float))


def test_a_text_that_is_no_date_is_refused_with_its_row_and_column():
    encoding = fit_encoding(pd.DataFrame({"when": ["2024-01-31"] * 3}), {"when": "date"}, "label", [""])
    with pytest.raises(DataError, match=r"row 2 \(from 1\), column 'when': 'soon', expected a date like 2024-01-31\n"):
        encode(pd.DataFrame({"when": ["2024-01-31", "soon"]}), encoding)


def test_a_column_is_set_to_be_a_date_or_to_be_ignored(visits):
    table = pd.read_csv(visits)
    table.assign(day="3/4/2024", other=1).to_csv(visits, index=False)

    def features(**columns):
        config = DatasetConfig(path=str(visits), target="label", columns={"when": "ignore"} | columns)
        return own_dataset(config)

    assert features().info.feature_names == ("other",)
    assert any(f"'day' {UNKNOWN_ORDER}" in note for note in features().notes)
    with pytest.raises(DataError, match=rf"column 'day' {UNKNOWN_ORDER}"):
        features(day="date")
    with pytest.raises(DataError, match=r"row \d+ \(from 1\), column 'other': '1', expected a date"):
        features(other="date")


def test_inspection_shows_the_first_and_the_last_date(visits):
    when, day = inspected(DatasetConfig(path=str(visits), target="label")).columns
    assert (when.kind, day.kind, day.n_missing) == ("date", "date", 0)
    assert when.n_missing > 0
    assert day.values.startswith("1968-02-")
    assert 0.3 < when.accuracy_alone < 0.7
