"""The README: its commands run as written, its tables match the schema, the tests and the packages."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from mlcli.config.schema import ExperimentConfig
from mlcli.config.validation import sections_of

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if line.startswith("$ ")
]
MLCLI_COMMANDS = [command for command in COMMANDS if command.startswith("mlcli ")]
MAKE_TARGETS = [command.removeprefix("make ") for command in COMMANDS if command.startswith("make ")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the configs of a checkout, in which all commands store data and runs."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(ROOT / "configs", folder / "configs")
    np.save(folder / "samples.npy", np.zeros((5, 8, 8), dtype=np.uint8))
    return folder


def test_every_command_is_of_a_kind_that_is_run_here():
    assert len(MLCLI_COMMANDS) + len(MAKE_TARGETS) == len(COMMANDS)
    assert len(MLCLI_COMMANDS) > 10


@pytest.mark.parametrize("command", MLCLI_COMMANDS)
def test_a_command_of_the_readme_runs(command, folder, request):
    if "fashion" in command and "--data-dir" in command:
        command = command.replace("/path/to/a/copy", str(request.getfixturevalue("image_data_dir")))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("target", [target for target in MAKE_TARGETS if target != "test"])
def test_a_make_target_of_the_readme_runs(target, folder):
    """The environment that runs the tests counts as installed. `make test` is excluded, because it runs this test."""
    stamp = f"{sys.prefix}/.installed"
    process = subprocess.run(
        ["make", "-o", stamp, f"VENV={sys.prefix}", *target.split()],
        cwd=ROOT, env=os.environ | {"MLCLI_RUNS_DIR": str(folder / "make-runs")},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert "accuracy" in process.stdout


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ("train", "train digits_mlp"),
        ("train BACKEND=keras DATASET=fashion", "train --backend keras --dataset fashion"),
        ("train CONFIG=mine.yaml LR=0.1 SEED=3 ARGS=--quiet", "train mine.yaml --lr 0.1 --seed 3 --quiet"),
        ("evaluate", "evaluate last"),
        ("evaluate RUN=2026 BACKEND=torch", "evaluate 2026 --backend torch"),
        ("compare", "compare digits_mlp --backend sklearn,torch,keras --seeds 3"),
        ("compare CONFIG=fashion_cnn SEEDS=5 EPOCHS=2", "compare fashion_cnn --seeds 5 --set training.epochs=2"),
    ],
)
def test_variables_of_make_become_options(arguments, command):
    process = subprocess.run(
        ["make", "-sn", "-o", "venv/.installed", "VENV=venv", *arguments.split()],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert process.stdout.replace("\\\n", "").split() == f"venv/bin/mlcli {command}".split()


def test_make_alone_names_every_target_with_a_line():
    process = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for target in targets:
        assert re.search(rf"^  make {target}\s+\w+", process.stdout, re.MULTILINE), target


def test_every_guarantee_names_existing_tests():
    guarantees = re.search(r"^## Guarantees\n(.*?)^## ", README, re.DOTALL | re.MULTILINE)[1]
    rows = [line for line in guarantees.splitlines() if line.startswith("| ") and "---" not in line][1:]
    assert len(rows) > 10
    for row in rows:
        paths = re.findall(r"`(tests/[\w/]+\.py)`", row)
        assert paths, row
        for path in paths:
            assert "def test_" in (ROOT / path).read_text(encoding="utf-8"), path


def test_the_reference_has_every_key_of_the_schema_with_its_default():
    """A key that is added to the schema must be added to the README."""
    for key, default in _keys(ExperimentConfig):
        assert re.search(rf"`{re.escape(key)}(: {re.escape(default)})?`", README), key


def _keys(section, prefix=""):
    """Yield every key with its default as the README writes it: in full, or without its section if that has a name."""
    for key, field in section.model_fields.items():
        below = sections_of(section, key)
        if len(below) == 1:
            yield from _keys(below[0], f"{prefix}{key}.")
        elif below:
            for choice in below:
                yield from ((name, default) for name, default in _keys(choice) if name != "name")
                assert f"| `{key}` | `{choice.model_fields['name'].default}` |" in README
        else:
            yield f"{prefix}{key}", _written(field.get_default(call_default_factory=True))


def _written(default):
    if isinstance(default, tuple):
        return f"[{', '.join(map(str, default))}]"
    if default is None or isinstance(default, bool):
        return {None: "null", True: "true", False: "false"}[default]
    return str(default)


def test_the_architecture_names_every_package_and_module_in_layer_order():
    architecture = re.search(r"^## Architecture\n(.*?)^\[CONTRIBUTING", README, re.DOTALL | re.MULTILINE)[1]
    described = re.findall(r"^\| `mlcli/([\w.]+)`", architecture, re.MULTILINE)
    existing = [
        path.name
        for path in (ROOT / "mlcli").iterdir()
        if not path.name.startswith("__") and (path.suffix == ".py" or (path / "__init__.py").is_file())
    ]
    assert sorted(described) == sorted(existing)
    contract = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]
    layer = {name: rank for rank, names in enumerate(contract["layers"]) for name in names.split(" | ")}
    ranks = [layer[name.removesuffix(".py")] for name in described]
    assert ranks == sorted(ranks)


def test_contributing_names_existing_files():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for path in re.findall(r"`((?:mlcli|tests)/[\w/.]+\.py)`", text):
        if "/a/" not in path:  # the example of how tests mirror the package
            assert (ROOT / path).is_file(), path
