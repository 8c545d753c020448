"""The registries define the names in the schema, and a new dataset or engine needs only a file and a row."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import sections_of
from mlcli.data.prepared import torchvision_datasets
from mlcli.data.source import dataset_source
from mlcli.errors import UsageError
from mlcli.registry import (
    BACKENDS,
    DATASETS,
    DEFAULT_DATASET,
    DEFAULT_MODEL,
    MODELS,
    OPTIMIZERS,
    SCHEDULES,
    alternatives,
    backend_info,
    dataset_info,
    default_optimizer,
)

ROOT = Path(__file__).resolve().parents[1]


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"unknown dataset 'fasion' \(did you mean 'fashion'\?\)"):
        dataset_info("fasion")
    with pytest.raises(UsageError, match=r"unknown backend 'troch' \(did you mean 'torch'\?\); known: sklearn, torch"):
        backend_info("troch")


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_has_its_name_and_a_source(name):
    info = dataset_info(name)
    assert info.name == name
    assert dataset_source(name).info is info


def test_the_tables_import_nothing_heavy():
    code = (
        "import sys; from mlcli.registry import dataset_info; print(dataset_info('fashion').n_classes);"
        "sys.exit(any(name in sys.modules for name in ('numpy', 'torch', 'pydantic', 'yaml')))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "10\n"), result.stderr


@pytest.mark.parametrize(
    ("key", "names", "default"),
    [("model", MODELS, DEFAULT_MODEL), ("optimizer", OPTIMIZERS, None), ("schedule", SCHEDULES, None)],
)
def test_the_names_of_sections_are_those_of_the_schema(key, names, default):
    sections = sections_of(ExperimentConfig, key)
    assert tuple(section.model_fields["name"].default for section in sections) == names
    assert getattr(getattr(ExperimentConfig(), key), "name", None) == default


def test_the_rows_name_models_and_optimizers_that_exist():
    for row in BACKENDS.values():
        assert set(row.optimizers) <= set(MODELS)
        assert {name for names in row.optimizers.values() for name in names} <= set(OPTIMIZERS)


def test_the_default_dataset_is_registered():
    assert ExperimentConfig().dataset.name == DEFAULT_DATASET
    assert DEFAULT_DATASET in DATASETS


@pytest.mark.parametrize(
    ("backend", "model", "optimizer"),
    [
        ("sklearn", "logistic", "lbfgs"),
        ("torch", "logistic", "adam"),
        ("sklearn", "mlp", "adam"),
        ("sklearn", "cnn", "adam"),
        ("sklearn", "estimator", None),
        ("torch", "estimator", None),
    ],
)
def test_the_default_optimizer_depends_on_engine_and_model(backend, model, optimizer):
    assert default_optimizer(backend, model) == optimizer


def test_alternatives_are_listed_as_in_a_sentence():
    assert [alternatives(names) for names in ((), ("a",), ("a", "b"), ("a", "b", "c"))] == [
        "",
        "a",
        "a or b",
        "a, b or c",
    ]


NEW_FILES = {
    "moons.py": """
import numpy as np
from mlcli.data.embedded import EmbeddedSource

def table():
    angles = np.linspace(0, np.pi, 60)
    upper = np.column_stack([np.cos(angles), np.sin(angles), np.zeros(60)])
    return np.concatenate([upper, np.column_stack([1 - upper[:, 0], 0.5 - upper[:, 1], np.ones(60)])])

def source(info):
    return EmbeddedSource(info, table, "float32")
""",
    # Add one row each, then run the command.
    "mlcli_with_more.py": """
from mlcli.records import DatasetInfo
from mlcli.registry import BACKENDS, DATASETS, BackendInfo, DatasetRow

info = DatasetInfo("moons", "table", (2,), ("upper", "lower"), ("x", "y"), 120, 0, "Two half circles")
DATASETS["moons"] = DatasetRow("moons:source", info)
BACKENDS["plain"] = BackendInfo("plain:Engine", "plain numpy", {"logistic": ("sgd",)}, devices=("cpu",))

from mlcli.cli.app import main
main()
""",
    "plain.py": """
from tests.engines.test_contract import FakeEngine

class Engine(FakeEngine):
    pass
""",
    "x.yaml": """
dataset: {name: moons, scaling: unit}
model: logistic
backends: {plain: {optimizer: {name: sgd, lr: 0.5}}}
""",
}


@pytest.fixture
def mlcli_with_more(tmp_path):
    """Run mlcli with one more dataset and one more engine: a file and a row each."""
    for name, text in NEW_FILES.items():
        (tmp_path / name).write_text(text)

    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    def run(*arguments):
        command = [sys.executable, str(tmp_path / "mlcli_with_more.py"), *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def test_a_new_dataset_and_a_new_engine_are_one_file_and_one_row_each(mlcli_with_more):
    done = mlcli_with_more("train", "x.yaml", "--fail-under", "accuracy=0.7", "--format", "json")
    assert done.returncode == 0, done.stderr
    listed = mlcli_with_more("data", "list", "--format", "json")
    assert '"moons"' in listed.stdout
    refused = mlcli_with_more("train", "x.yaml", "--dataset", "mons", "--backend", "plan")
    assert refused.returncode == 2
    assert (
        "must be one of iris, wine, breast_cancer, digits, mnist, fashion, moons, got 'mons' (did you mean 'moons'?)"
        in refused.stderr
    )
    assert "must be one of sklearn, torch, keras, plain, got 'plan' (did you mean 'plain'?)" in refused.stderr


def test_the_editor_schema_lists_what_the_tables_hold(mlcli_with_more):
    schema = mlcli_with_more("config", "schema").stdout
    assert '"moons"' in schema
    assert '"plain"' in schema
    assert "iris, wine, breast_cancer, digits, mnist, fashion or moons" in schema


@pytest.mark.parametrize(("name", "class_name"), [("mnist", "MNIST"), ("fashion", "FashionMNIST")])
def test_files_and_mirrors_are_those_of_torchvision(name, class_name):
    theirs = getattr(torchvision_datasets(), class_name)
    source = dataset_source(name)
    assert source.class_name == class_name
    assert list(source.mirrors) == theirs.mirrors
    assert [(file.name, file.md5) for file in source.files] == theirs.resources


def test_class_names_are_those_of_torchvision():
    datasets = torchvision_datasets()
    assert list(dataset_info("fashion").class_names) == datasets.FashionMNIST.classes
    assert list(dataset_info("mnist").class_names) == [name[0] for name in datasets.MNIST.classes]
