from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.data.own import own_dataset
from mlcli.data.own.encoding import column_kind, encode, fit_encoding
from mlcli.errors import DataError
from tests.fixtures.tables import codes_by_hand, pipeline_by_hand, rows_of_split


@pytest.mark.parametrize(
    ("table", "target", "texts"),
    [("penguins", "species", ["island", "sex"]), ("mixed_table", "label", ["city", "colour"])],
)
def test_features_are_those_of_scikit_learn(table, target, texts, request):
    path = request.getfixturevalue(table)
    dataset = own_dataset(DatasetConfig(path=str(path), target=target))
    rows, transformer = pipeline_by_hand(path, target, texts)
    train, test = rows_of_split(path, target)
    expected = {"train": transformer.fit_transform(rows.iloc[train]), "test": transformer.transform(rows.iloc[test])}
    for name, features in expected.items():
        found = (getattr(dataset, name).x - dataset.scaling.shift) / dataset.scaling.scale
        np.testing.assert_allclose(found, features, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("table", "target", "texts"),
    [("penguins", "species", ["island", "sex"]), ("mixed_table", "label", ["city", "colour"])],
)
def test_codes_are_those_of_scikit_learn_and_missing_values_stay_missing(table, target, texts, request):
    path = request.getfixturevalue(table)
    dataset = own_dataset(DatasetConfig(path=str(path), target=target, encoding="codes"))
    rows, _ = pipeline_by_hand(path, target, texts)
    train, test = rows_of_split(path, target)
    by_hand = codes_by_hand(rows, texts)
    codes = by_hand.fit_transform(rows.iloc[train])
    np.testing.assert_array_equal(dataset.train.x, codes.astype(float))
    np.testing.assert_array_equal(dataset.test.x, by_hand.transform(rows.iloc[test]).astype(float))
    assert dataset.info.feature_names == tuple(rows.columns)
    assert dataset.info.encoding.form == "codes"
    assert np.isnan(dataset.train.x).any(axis=0).sum() >= 5
    is_number = [name not in texts for name in rows]
    scaled = (codes.astype(float) - dataset.scaling.shift) / dataset.scaling.scale
    np.testing.assert_allclose(np.nanmean(scaled[:, is_number], axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(np.nanstd(scaled[:, is_number], axis=0), 1, atol=1e-12)
    np.testing.assert_array_equal(scaled[:, ~np.array(is_number)], codes[:, ~np.array(is_number)].astype(float))


@pytest.mark.parametrize(
    ("values", "codes", "n_unseen"),
    [
        (["a"] * 5 + ["b"] * 5, [0, 1, np.nan, np.nan], 1),
        (["a"] * 5 + ["b"] * 5 + ["rare"], [0, 1, 2, np.nan], 1),
        (["a"] * 5 + ["b"] * 5 + [None], [0, 1, np.nan, np.nan], 1),
    ],
)
def test_an_unseen_category_is_missing_or_has_the_code_of_the_rare_ones(values, codes, n_unseen):
    encoding = fit_encoding(pd.DataFrame({"c": values}), {"c": "categorical"}, "t", [""], "codes")
    unseen = Counter()
    found = encode(pd.DataFrame({"c": ["a", "b", "new", None]}), encoding, unseen)
    np.testing.assert_array_equal(found.ravel(), codes)
    assert unseen == {"c": n_unseen}


def test_missing_dates_stay_missing_with_codes():
    days = pd.DataFrame({"day": ["2024-01-31", None, "2024-02-01"]})
    encoding = fit_encoding(days, {"day": "date"}, "t", [""], "codes")
    x = encode(days, encoding)
    assert encoding.form == "codes"
    assert np.isnan(x[1]).all()
    np.testing.assert_array_equal(x[[0, 2], :3], [[2024, 1, 31], [2024, 2, 1]])


def test_rare_categories_and_those_beyond_the_limit_share_a_feature(mixed_table):
    encoding = own_dataset(DatasetConfig(path=str(mixed_table), target="label")).info.encoding
    city = next(column for column in encoding.columns if column.name == "city")
    assert len(city.features) == 100
    assert city.has_other
    assert city.categories[-1] is None


def test_nothing_is_fitted_on_the_rows_of_the_test_split(penguins):
    config = DatasetConfig(path=str(penguins), target="species")
    before = own_dataset(config)
    table = pd.read_csv(penguins, keep_default_na=False)
    _, test = rows_of_split(penguins, "species")
    table.loc[test, ["island", "sex", "bill_length_mm"]] = ["Atlantis", "unknown", "1e6"]
    table.to_csv(penguins, index=False)
    after = own_dataset(config)
    assert after.fingerprint != before.fingerprint
    assert after.info == before.info
    np.testing.assert_array_equal(after.train.x, before.train.x)
    np.testing.assert_array_equal(after.scaling.shift, before.scaling.shift)
    assert not after.test.x[:, : len("BDT")].any()  # the features of the three islands


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2.5e3", "-7"], "numeric"),
        ([1, 0, 1], "numeric"),
        (["01234", "00501", None], "numeric"),
        (["true", "FALSE", None], "boolean"),
        (["yes", "no", "Yes"], "boolean"),
        ([True, False, None], "boolean"),
        (["a", "b"] * 5, "categorical"),
        (["NaN-like", "1"] * 5 + ["c"], "categorical"),
        (["2024-01-31", "2024-02-01"], "date"),
        (pd.to_datetime(["2024-01-31", "2024-02-01"]), "date"),
        ([None, None], "has no value in the training rows"),
        ([f"name {number}" for number in range(50)], "has no value in 5 training rows or more, as ids and free text"),
    ],
)
def test_the_kind_of_a_column(values, kind):
    assert column_kind(pd.Series(values, name="x")) == kind


def test_a_column_of_numbers_and_texts_is_refused_with_what_to_do():
    with pytest.raises(DataError, match=r"column 'age': 2 of 3 .* e\.g\. 'old\\\\x1b'\n.*dataset\.missing.*age: categ"):
        column_kind(pd.Series(["1", "2", "old\x1b"], name="age"))


def test_unseen_categories_are_counted_and_have_no_feature():
    training = pd.DataFrame({"colour": ["red"] * 5 + ["blue"] * 5})
    encoding = fit_encoding(training, {"colour": "categorical"}, "label", [""])
    unseen: Counter[str] = Counter()
    x = encode(pd.DataFrame({"colour": ["red", "green", None, "blue"]}), encoding, unseen)
    assert encoding.feature_names == ("colour=blue", "colour=red")
    assert x.tolist() == [[0, 1], [0, 0], [0, 0], [1, 0]]
    assert unseen == {"colour": 2}


def test_features_of_columns_whose_names_collide_have_different_names():
    training = pd.DataFrame({"a": ["b=c"] * 5, "a=b": ["c"] * 5})
    encoding = fit_encoding(training, dict.fromkeys(training, "categorical"), "label", [""])
    assert encoding.feature_names == ("a=b=c", "a=b=c (2)")


def test_too_many_features_are_refused_with_the_widest_column():
    columns = {f"c{number}": np.repeat([f"v{value}" for value in range(100)], 5) for number in range(21)}
    with pytest.raises(DataError, match=r"2,100 features.*\n?.*c0.*100"):
        fit_encoding(pd.DataFrame(columns), dict.fromkeys(columns, "categorical"), "label", [""])


@pytest.mark.parametrize("text", ["inf", "1e19", "five", "9" * 400, 10**400])
def test_a_value_that_is_no_number_is_refused_with_its_row_and_column(text):
    encoding = fit_encoding(pd.DataFrame({"size": [1.0, 2.0]}), {"size": "numeric"}, "label", [""])
    with pytest.raises(DataError, match=r"row 3 \(from 1\), column 'size': '.*', expected a number up to 1e\+18"):
        encode(pd.DataFrame({"size": ["1", "2", text]}), encoding)
