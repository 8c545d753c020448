from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mlcli.data import embedded
from mlcli.data.source import dataset_source, fingerprint
from mlcli.errors import DataError
from mlcli.registry import dataset_info


def read(name):
    return dataset_source(name).read(Path("unused"), offline=True, log=pytest.fail)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer"])
def test_a_table_equals_scikit_learns_copy(name):
    import sklearn.datasets

    theirs = getattr(sklearn.datasets, f"load_{name}")()
    data = read(name)
    assert data.test is None
    assert data.train.x.dtype == np.float64
    np.testing.assert_array_equal(data.train.x, theirs.data)
    np.testing.assert_array_equal(data.train.y, theirs.target)
    assert dataset_info(name).class_names == tuple(theirs.target_names)
    assert dataset_info(name).feature_names == tuple(theirs.feature_names)


def test_the_fingerprint_of_iris_is_that_of_runs_by_version_0_1():
    x, y = read("iris").train.x, read("iris").train.y
    assert read("iris").fingerprint == fingerprint({"train_x": x.astype(np.float32), "train_y": y})


def test_digits_equal_scikit_learns_copy():
    from sklearn.datasets import load_digits

    theirs = load_digits()
    data = read("digits")
    assert data.train.x.shape == (1797, 1, 8, 8)
    assert data.train.x.dtype == np.uint8
    np.testing.assert_array_equal(data.train.x[:, 0], theirs.images)
    np.testing.assert_array_equal(data.train.y, theirs.target)


@pytest.mark.parametrize("name", ["iris", "wine", "breast_cancer", "digits"])
def test_scikit_learns_loaders_are_used_if_the_file_is_elsewhere(monkeypatch, tmp_path, name):
    expected = read(name)
    monkeypatch.setattr(embedded, "_package_folder", lambda: tmp_path)
    found = read(name)
    np.testing.assert_array_equal(found.train.x, expected.train.x)
    assert found.fingerprint == expected.fingerprint


@pytest.mark.filterwarnings("error")  # numpy would write to stderr
@pytest.mark.parametrize(
    "content", [b"", b"1,2,3,4,0\n", b"header\n5.1,3.5,oops,0.2,0\n", b"\xff\xfe", b"h\n" + b"nan,1,1,1,0\n" * 150]
)
def test_an_altered_file_is_refused_with_its_path(monkeypatch, tmp_path, content):
    monkeypatch.setattr(embedded, "_package_folder", lambda: tmp_path)
    (tmp_path / "iris.csv").write_bytes(content)
    with pytest.raises(DataError, match=str(tmp_path)):
        read("iris")
    assert not dataset_source("iris").verify(tmp_path).usable


def test_a_truncated_archive_is_refused(monkeypatch, tmp_path):
    whole = (embedded._package_folder() / "digits.csv.gz").read_bytes()
    monkeypatch.setattr(embedded, "_package_folder", lambda: tmp_path)
    (tmp_path / "digits.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"digits\.csv\.gz cannot be read"):
        read("digits")


def test_verify_reads_the_installed_file():
    report = dataset_source("digits").verify(Path("unused"))
    assert report.usable
    assert [check.state for check in report.checks] == ["ok"]


def test_no_framework_is_imported():
    code = (
        "import sys; from mlcli.config.schema import DatasetConfig; from mlcli.data.load import load_dataset\n"
        "for name in ('iris', 'digits'): load_dataset(DatasetConfig(name=name))\n"
        "sys.exit(bool({'torch', 'sklearn', 'scipy', 'pandas', 'torchvision'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
