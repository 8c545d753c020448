"""What `data inspect` and `data init` say about arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mlcli.config.dataset import DatasetConfig
from mlcli.config.experiment import load_experiment
from mlcli.data.own import own_dataset
from mlcli.data.own.array_inspection import InspectedArray
from mlcli.data.own.initial_config import init
from mlcli.data.own.inspection import InspectRequest, inspect, inspected
from mlcli.errors import DataError, UsageError

RNG = np.random.default_rng(0)
Y = np.arange(200) % 2
TABLE = RNG.normal(Y[:, np.newaxis], 2.0, (200, 3))
BYTES = RNG.integers(0, 256, (200, 6, 5)).astype(np.uint8)


def inspection_of(path, **arrays):
    np.savez(path / "a.npz", **arrays)
    return inspected(DatasetConfig(path=str(path / "a.npz")))


def test_arrays_are_shown_with_shape_type_and_range_and_their_classes_are_counted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = np.where(Y == 1, "yes", "no")
    found = inspection_of(Path(), x_train=BYTES[:150], y_train=labels[:150], x_test=BYTES[150:], y_test=labels[150:])
    assert found.findings == ()
    assert found.arrays[:2] == (
        InspectedArray("a.npz: x_train", (150, 6, 5), "uint8", 0.0, 255.0),
        InspectedArray("a.npz: y_train", (150,), "text", None, None),
    )
    assert found.class_counts == {"no": 100, "yes": 100}
    assert (found.n_rows, found.n_train_rows, found.n_features, found.columns) == (200, 150, 30, ())


def test_features_are_judged_by_column(tmp_path):
    x = np.column_stack([TABLE, np.ones(200), np.arange(200), Y])
    found = inspection_of(tmp_path, x=x, y=Y)
    assert [column.name for column in found.columns] == ["x0", "x1", "x2", "x3", "x4", "x5"]
    assert [finding.partition(":")[0] for finding in found.findings] == [
        "column 'x3' is constant",
        "column 'x4' looks like an id",
        "column 'x5' alone predicts the target with accuracy 1.0000",
    ]
    assert all(finding.endswith("remove it from x") for finding in found.findings)


@pytest.mark.parametrize(
    ("arrays", "finding"),
    [
        ({"x": BYTES // 16, "y": Y}, "no value of the images is above 15, and bytes are divided by 255: set dataset"),
        (
            {"x": np.pad(RNG.normal(size=(200, 300)), ((0, 0), (2, 0))), "y": Y},
            "2 of 302 features are constant and tell nothing: x0, x1",
        ),
        (
            {"x": BYTES[:150], "y": Y[:150], "x_test": BYTES[140:], "y_test": Y[140:]},
            "10 of 60 test samples are equal to a training sample: test scores are too good",
        ),
        ({"x": BYTES, "y": Y * (np.arange(200) < 8)}, "classes with fewer than 10 training rows"),
    ],
)
def test_what_looks_wrong_is_found(arrays, finding, tmp_path):
    assert inspection_of(tmp_path, **arrays).findings[0].startswith(finding)


def test_what_cannot_be_trained_is_refused_as_in_training(tmp_path):
    with pytest.raises(DataError, match=r"sample 7 \(from 0\), position \[2\]: a missing value"):
        inspection_of(tmp_path, x=np.where(TABLE[7, 2] == TABLE, np.nan, TABLE), y=Y)
    (tmp_path / "t.csv").write_text("size,kind\n1,a\n")
    with pytest.raises(UsageError, match="--target COLUMN: a table needs .*\nits columns: size, kind"):
        init(InspectRequest(tmp_path / "t.csv"))


def test_the_configuration_for_arrays_gives_the_same_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=TABLE, y=Y)
    Path("own.yaml").write_text(init(InspectRequest(Path("a.npz"))))
    assert "# a.npz: x: float64 (200, 3)" in Path("own.yaml").read_text()
    dataset = own_dataset(load_experiment(Path("own.yaml"), environ={}).dataset)
    assert dataset is own_dataset(DatasetConfig(path="a.npz"))


@pytest.mark.parametrize("x", [TABLE, BYTES])
@pytest.mark.parametrize("output", ["table", "markdown", "csv", "json"])
def test_every_format_is_printed(output, x, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", x=x, y=Y)
    inspect(InspectRequest(Path("a.npz")), output)
    shown = capsys.readouterr().out
    assert ("x2" if output == "csv" and x.ndim == 2 else "a.npz: x") in shown
    if output == "json":
        assert json.loads(shown)["arrays"][0]["shape"] == list(x.shape)
