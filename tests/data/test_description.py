"""What `mlcli data show` says of a dataset, compared with its samples."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from mlcli.config.schema import DatasetConfig
from mlcli.data.description import describe, print_description
from mlcli.data.load import load_dataset
from mlcli.data.plots import draw_samples, save_samples


@pytest.fixture(scope="module")
def iris():
    return load_dataset(DatasetConfig(name="iris"))


@pytest.fixture(scope="module")
def digits():
    return load_dataset(DatasetConfig(name="digits"))


def test_shapes_types_ranges_and_class_counts_are_those_of_the_samples(digits):
    description = describe(digits)
    assert sum(split.shape[0] for split in description.splits.values()) == 1797
    for name, split in description.splits.items():
        samples = getattr(digits, name)
        assert (split.shape, split.dtype) == (samples.x.shape, "uint8")
        assert (split.minimum, split.maximum) == (0, 16)
        assert list(split.class_counts.values()) == np.bincount(samples.y).tolist()
    assert description.features == description.rows == ()
    assert description.scaling == "unit"


def test_a_table_has_features_and_first_rows_with_raw_values(iris):
    description = describe(iris)
    assert [feature.name for feature in description.features] == list(iris.info.feature_names)
    for index, feature in enumerate(description.features):
        values = iris.train.x[:, index]
        assert feature.minimum == values.min()
        assert feature.maximum == values.max()
        assert feature.mean == pytest.approx(values.mean(), rel=1e-6)
    for index, row in enumerate(description.rows):
        assert [row[name] for name in iris.info.feature_names] == iris.train.x[index].tolist()
        assert row["class"] == iris.info.class_names[iris.train.y[index]]
        assert all(len(str(row[name])) <= 3 for name in iris.info.feature_names)  # such as 5.1


def test_every_format_has_the_class_counts(iris, capsys):
    description = describe(iris)
    printed = {}
    for output_format in ("table", "json", "csv", "markdown"):
        print_description(description, output_format)
        printed[output_format] = capsys.readouterr().out
    document = json.loads(printed["json"])
    assert document["schema_version"] == 1
    assert document["splits"]["test"]["class_counts"] == {"setosa": 10, "versicolor": 10, "virginica": 10}
    assert len(document["rows"]) == 5
    rows = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert rows[0] == {"class": "setosa", "train": "40", "test": "10"}
    assert "| setosa | 40 | 10 |" in printed["markdown"]
    for words in ("120x4 float64", "0.1 to 7.7", "petal length (cm)", "mean 0, deviation 1", "versicolor"):
        assert words in printed["table"]


def test_a_picture_shows_ten_samples_of_each_class(digits, tmp_path):
    figure = draw_samples(digits)
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == 100
    for label in range(10):
        first = int(np.flatnonzero(digits.train.y == label)[0])
        assert np.array_equal(drawn[10 * label].images[0].get_array(), digits.train.x[first][0])
    assert save_samples(digits, tmp_path, "png").read_bytes().startswith(b"\x89PNG")


def test_a_picture_of_a_table_shows_every_sample_for_every_pair_of_features(iris):
    figure = draw_samples(iris)
    scattered = [axes for axes in figure.axes if axes.collections]
    assert len(scattered) == 4 * 3
    for axes in scattered:
        assert sum(len(points.get_offsets()) for points in axes.collections) == 120
