from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from mlcli.config.schema import DatasetConfig
from mlcli.data.load import load_dataset
from mlcli.errors import DataError


def load(name, data_dir=None, **settings):
    return load_dataset(DatasetConfig(name=name, **settings), data_dir=data_dir, offline=True)


def test_iris_is_split_and_standardised_on_its_training_split():
    dataset = load("iris")
    assert (len(dataset.train), dataset.validation, len(dataset.test)) == (120, None, 30)
    assert np.bincount(dataset.train.y).tolist() == [40, 40, 40]
    assert dataset.scaling.kind == "standard"
    scaled = (dataset.train.x - dataset.scaling.shift) / dataset.scaling.scale
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-12)
    assert dataset.notes == ()


def test_samples_keep_their_labels_through_the_splits():
    whole = load("digits", test="train").train
    label_of = {image.tobytes(): label for image, label in zip(whole.x, whole.y, strict=True)}
    dataset = load("digits", validation=0.1, limit=500)
    assert dataset.validation is not None
    for split in (dataset.train, dataset.validation, dataset.test):
        assert [label_of[image.tobytes()] for image in split.x] == split.y.tolist()
    assert [len(split) for split in (dataset.train, dataset.validation, dataset.test)] == [500, 144, 359]


def test_digests_are_the_same_on_every_machine():
    # Values of the first release: a change means that earlier runs used other data or other splits.
    iris, digits = load("iris"), load("digits", validation=0.1)
    assert iris.fingerprint[:16] == "d9ccb164c9e0a8cf"
    assert digits.fingerprint[:16] == "619547cd0164d565"
    assert iris.split_digest[:16] == "e73a12fc9258adf6"
    assert digits.split_digest[:16] == "f9d295ad8693bcc2"


def test_the_split_seed_changes_the_split_and_not_the_fingerprint():
    first, second = load("iris"), load("iris", split_seed=1)
    assert first.split_digest != second.split_digest
    assert first.fingerprint == second.fingerprint


def test_shared_splits_are_the_same_objects():
    dataset = load("iris", test="train", validation="test", scaling="none")
    assert dataset.test is dataset.train
    assert dataset.validation is dataset.test
    assert len(dataset.notes) == 2


def test_offline_variable_forbids_the_network(monkeypatch, tmp_path):
    monkeypatch.setenv("MLCLI_OFFLINE", "1")
    place = f"{tmp_path}/MNIST/raw/train-images-idx3-ubyte.gz is missing\n"
    with pytest.raises(DataError, match=f"{place}network access is disabled"):
        load_dataset(DatasetConfig(name="mnist"), data_dir=tmp_path)


@pytest.mark.images
@pytest.mark.parametrize(
    ("name", "first_labels", "fingerprint"),
    [("mnist", [5, 0, 4, 1], "bdcf3ef04fb8"), ("fashion", [9, 0, 0, 3], "0dd204773d37")],
)
def test_image_datasets_are_complete_and_memory_mapped(image_data_dir, name, first_labels, fingerprint):
    dataset = load(name, image_data_dir)
    assert dataset.train.x.shape == (60000, 1, 28, 28)
    assert dataset.test.x.shape == (10000, 1, 28, 28)
    assert dataset.train.x.dtype == np.uint8
    assert dataset.train.y[:4].tolist() == first_labels
    assert np.bincount(dataset.test.y).min() > 800
    assert isinstance(dataset.train.x.base, np.memmap)
    assert dataset.scaling.scale == 255.0
    assert dataset.fingerprint.startswith(fingerprint)


@pytest.mark.images
def test_limit_keeps_the_memory_map_and_validation_is_stratified(image_data_dir):
    whole = load("fashion", image_data_dir)
    limited = load("fashion", image_data_dir, limit=100)
    np.testing.assert_array_equal(limited.train.x, whole.train.x[:100])
    assert not limited.train.x.flags.owndata
    dataset = load("fashion", image_data_dir, validation=0.1)
    assert dataset.validation is not None
    assert np.bincount(dataset.validation.y).tolist() == [600] * 10
    assert np.bincount(dataset.train.y).tolist() == [5400] * 10


@pytest.mark.images
def test_a_warm_start_imports_no_framework(image_data_dir):
    code = (
        "import json, sys; from pathlib import Path\n"
        "from mlcli.config.schema import DatasetConfig; from mlcli.data.load import load_dataset\n"
        "dataset = load_dataset(DatasetConfig(name='fashion', validation=0.1), data_dir=Path(sys.argv[1]))\n"
        "heavy = {'torch', 'torchvision', 'keras', 'sklearn', 'scipy', 'pandas', 'PIL', 'filelock', 'urllib.request'}\n"
        "print(json.dumps([len(dataset.train), sorted(heavy & set(sys.modules))]))"
    )
    command = [sys.executable, "-c", code, str(image_data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(result.stdout) == [54000, []]


@pytest.mark.images
def test_a_truncated_file_of_a_real_dataset_is_noticed_and_rebuilt(image_data_dir):
    path = image_data_dir / "prepared" / "mnist" / "test_labels.npy"
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(path.read_bytes()[:1000])
    assert len(load("mnist", image_data_dir).test) == 10000
    assert hashlib.sha256(path.read_bytes()).hexdigest() == expected
