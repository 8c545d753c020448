"""Files with one row per scored sample."""

from __future__ import annotations

import csv
import json

import numpy as np
import pandas as pd
import pytest

from mlcli.rendering import SCORE_SUFFIXES
from mlcli.rendering.score_files import class_columns, score_file

NAMES = ("plain", 'with, comma, 100 % and "quote"')


def read(path):
    """Return the rows of a file as a frame."""
    match path.suffix:
        case ".csv":
            return pd.read_csv(path, dtype=str)  # to be converted exactly
        case ".parquet":
            return pd.read_parquet(path)
        case ".json":
            document = json.loads(path.read_text(encoding="utf-8"))
            assert document["schema_version"] == 1
            return pd.DataFrame(document["rows"])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", SCORE_SUFFIXES)
def test_batches_are_appended_as_rows_with_exact_numbers(tmp_path, suffix, dtype):
    scores = np.random.default_rng(0).normal(size=(3, 2)).astype(dtype)
    labels = np.array([0, 1, 1])
    path = tmp_path / f"out{suffix}"
    with score_file(path) as writer:
        for rows in (slice(0, 2), slice(2, 3)):
            names = [NAMES[label] for label in labels[rows]]
            writer.write({"label": labels[rows], "class_name": names} | class_columns("logit", scores[rows], NAMES))
        assert not path.exists()
    frame = read(path)
    columns = [f"logit_{name}" for name in NAMES]
    assert frame.columns.tolist() == ["label", "class_name", *columns]
    assert frame["label"].astype(int).tolist() == [0, 1, 1]
    assert frame["class_name"].tolist() == [NAMES[0], NAMES[1], NAMES[1]]
    assert np.array_equal(frame[columns].astype(dtype).to_numpy(), scores)


@pytest.mark.parametrize("suffix", SCORE_SUFFIXES)
def test_a_model_without_scores_has_no_columns_for_them(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with score_file(path) as writer:
        writer.write({"label": np.array([1])} | class_columns("logit", None, NAMES))
    assert read(path).columns.tolist() == ["label"]


def test_names_with_commas_are_quoted_in_csv(tmp_path):
    with score_file(tmp_path / "out.csv") as writer:
        writer.write({"file": ("a,b.png", "c.png"), "label": np.array([1, 0])})
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["file", "label"], ["a,b.png", "1"], ["c.png", "0"]]


def test_numbers_that_are_not_finite_are_null_in_json(tmp_path):
    with score_file(tmp_path / "out.json") as writer:
        writer.write({"x": np.array([np.nan, np.inf, 0.5], dtype=np.float32)})
    assert json.loads((tmp_path / "out.json").read_text())["rows"] == [{"x": None}, {"x": None}, {"x": 0.5}]


@pytest.mark.parametrize("suffix", SCORE_SUFFIXES)
def test_an_error_leaves_no_file(tmp_path, suffix):
    def write_and_fail():
        with score_file(tmp_path / f"out{suffix}") as writer:
            writer.write({"label": np.array([1])})
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []
