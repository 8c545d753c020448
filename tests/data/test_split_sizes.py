"""Sizes of splits that are computed without the data, compared with the data."""

from __future__ import annotations

import pytest

from mlcli.config.schema import DatasetConfig
from mlcli.data.load import load_dataset
from mlcli.data.split_sizes import n_training_samples
from mlcli.errors import UsageError
from mlcli.registry import dataset_info


@pytest.mark.parametrize("name", ["iris", "digits"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"test": "train"},
        {"test": 0.37, "validation": 0.13},
        {"validation": "test"},
        {"validation": 0.1, "limit": 50},
        {"limit": 10**6},
    ],
)
def test_the_computed_size_is_that_of_the_loaded_split(name, settings):
    config = DatasetConfig.model_validate({"name": name} | settings)
    assert n_training_samples(config, dataset_info(name)) == len(load_dataset(config).train)


@pytest.mark.images
def test_a_dataset_with_a_test_set_keeps_its_training_samples(image_data_dir):
    config = DatasetConfig(name="mnist", validation=0.1)
    assert n_training_samples(config, dataset_info("mnist")) == 54000
    assert len(load_dataset(config, data_dir=image_data_dir).train) == 54000


def test_a_split_without_samples_is_refused_before_the_data_are_read():
    with pytest.raises(UsageError, match=r"dataset\.test: 0\.001 of 150 samples selects none"):
        n_training_samples(DatasetConfig(name="iris", test=0.001), dataset_info("iris"))
