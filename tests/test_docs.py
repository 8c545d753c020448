"""The pages in docs: their commands run as written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.tables import PENGUINS

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "own_data.md").read_text(encoding="utf-8")
COMMANDS = [
    line.removeprefix("$ ")
    for block in re.findall(r"^```console\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
]
(CONFIGURATION,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the table and the configuration of the page."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copyfile(PENGUINS, folder / "penguins.csv")
    (folder / "penguins.yaml").write_text(CONFIGURATION)
    return folder


def test_every_command_is_one_of_mlcli():
    assert len(COMMANDS) > 10
    assert all(command.startswith("mlcli ") for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_about_own_data_runs(command, folder):
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    process = subprocess.run(
        command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert process.returncode == 0, process.stderr
