"""The output files of predictions."""

from __future__ import annotations

import csv

import numpy as np
import pandas as pd
import pytest

from mlcli.predict.writers import prediction_output
from mlcli.records import Scores

NAMES = ("plain", 'with, comma and "quote"')


def test_class_and_file_names_with_commas_are_quoted(tmp_path):
    with prediction_output(tmp_path / "out.csv", NAMES) as writer:
        writer.write(Scores(np.array([1, 0]), None, None), ("a,b.png", "c.png"))
    with (tmp_path / "out.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["file", "label", "class_name"], ["a,b.png", "1", NAMES[1]], ["c.png", "0", "plain"],
        ]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("has_probabilities", [True, False])
def test_batches_are_appended_under_one_header(tmp_path, suffix, has_probabilities):
    probabilities = np.random.default_rng(0).random((3, 2)).astype(np.float32)
    path = tmp_path / f"out{suffix}"
    with prediction_output(path, NAMES) as writer:
        for batch in (slice(0, 2), slice(2, 3)):
            writer.write(
                Scores(np.array([0, 1, 1])[batch], None, probabilities[batch] if has_probabilities else None), None
            )
        assert not path.exists()
    frame = pd.read_csv(path) if suffix == ".csv" else pd.read_parquet(path)
    assert frame["index"].tolist() == [0, 1, 2]
    assert frame["class_name"].tolist() == [NAMES[0], NAMES[1], NAMES[1]]
    columns = [f"probability_{name}" for name in NAMES] if has_probabilities else []
    assert frame.columns.tolist() == ["index", "label", "class_name", *columns]
    if has_probabilities:
        assert np.array_equal(frame[columns].to_numpy(dtype=np.float32), probabilities)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_an_error_leaves_no_file(tmp_path, suffix):
    def write_and_fail():
        with prediction_output(tmp_path / f"out{suffix}", NAMES) as writer:
            writer.write(Scores(np.array([1]), None, None), None)
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    assert list(tmp_path.iterdir()) == []
