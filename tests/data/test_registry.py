from __future__ import annotations

import subprocess
import sys

import pytest

from mlcli.data.idx import torchvision_datasets
from mlcli.data.registry import DATASETS, dataset_info, dataset_source
from mlcli.errors import UsageError


def test_an_unknown_name_is_refused_with_the_nearest_match():
    with pytest.raises(UsageError, match=r"unknown dataset 'fasion' \(did you mean 'fashion'\?\)"):
        dataset_info("fasion")


@pytest.mark.parametrize("name", DATASETS)
def test_every_row_has_its_name_and_an_existing_source(name):
    info = dataset_info(name)
    assert info.name == name
    assert dataset_source(name).info is info


def test_reading_the_table_imports_no_numpy():
    code = (
        "import sys; from mlcli.data.registry import dataset_info; print(dataset_info('fashion').n_classes);"
        "sys.exit('numpy' in sys.modules or 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "10\n"), result.stderr


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_files_and_mirrors_equal_torchvisions(name, class_name):
    theirs = getattr(torchvision_datasets(), class_name)
    source = dataset_source(name)
    assert source.class_name == class_name
    assert list(source.mirrors) == theirs.mirrors
    assert [(file.name, file.md5) for file in source.files] == theirs.resources


def test_class_names_equal_torchvisions():
    datasets = torchvision_datasets()
    assert list(dataset_info("fashion").class_names) == datasets.FashionMNIST.classes
    assert list(dataset_info("mnist").class_names) == [name[0] for name in datasets.MNIST.classes]
