"""The examples of the README and of docs/ do what the pages show; those of the guides are in test_guides.py.

`console`: commands that are run, in order, in a folder of the page; every line of output that a page shows is printed,
in this order, with other numbers at most. `yaml`: a valid configuration, written to the file that a comment in its
first line names. `python`: run in the same folder. `sh`: commands that need another machine or minutes; their options
and configurations are checked.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from unittest import mock

import pytest
import typer
from typer.testing import CliRunner

from mlcli.cli.app import app
from mlcli.config.shipped import shipped_configs
from tests.docs.test_guides import GUIDES
from tests.fixtures.examples import agree, examples
from tests.fixtures.pages import PAGES, ROOT, steps, unexecuted_commands

CLI = typer.main.get_command(app)
UNEXECUTED = [command for page in PAGES for command in unexecuted_commands(page)]
TARGETS = [step.text.removeprefix("make ") for page in PAGES for step in steps(page) if step.text.startswith("make")]


@examples(page for page in PAGES if page not in GUIDES)
def test_an_example_works_as_the_page_shows(step, run_example):
    run_example(step)


@pytest.mark.parametrize(
    ("shown", "printed", "is_equal"),
    [
        ("│ test accuracy │ 0.9833  (353/359) │", "│ test accuracy  │ 0.9777  (351/359) │", True),
        ("│ test accuracy │ 0.9833  (353/359) │", "│ test accuracy │ 0.9100  (327/359) │", False),
        ("│ total │ 1.8 s │", "│ total         │ 12.25 s │", True),
        ("│ total │ 1.8 s │", "│ load │ 1.8 s │", False),
        ("runs/20261125T143138Z_digits_torch_s0_b1a6062", "runs/20270101T000000Z_digits_torch_s0_f000000", True),
        ("runs/20261125T143138Z_digits_torch_s0_b1a6062", "runs/20270101T000000Z_digits_keras_s0_f000000", False),
    ],
)
def test_shown_output_may_differ_in_numbers_only(shown, printed, is_equal):
    assert agree(shown, printed) is is_equal


@pytest.mark.parametrize("command", UNEXECUTED)
def test_the_options_of_a_command_that_is_not_run_here_are_valid(command, tmp_path, monkeypatch):
    """Experiments of shipped configurations are planned too, those of comparisons on data that need no download."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    words = shlex.split(re.split(r" [|>&]", command)[0])
    with mock.patch.dict(os.environ):
        _parse(CLI, words)
        is_planned = words[0] in ("train", "compare") and "--fail-if-worse" not in words
        if is_planned and words[1] in shipped_configs():
            smaller = ["--set", "dataset=digits"] if words[0] == "compare" else []
            outcome = CliRunner().invoke(app, [*words, "--dry-run", *smaller])
            assert outcome.exit_code == 0, outcome.exception


def _parse(command, words):
    """Parse the words of a command line as mlcli does; raise what it would refuse."""
    while hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    command.make_context(command.name, words)


@pytest.mark.parametrize("target", TARGETS)
def test_a_make_target_of_the_examples_runs(target, folders):
    """The environment that runs the tests counts as installed. `make test` would run this test, and lint all others."""
    is_long = target in ("test", "lint")
    options = ["-n"] if is_long else []
    process = subprocess.run(
        ["make", *options, "-o", f"{sys.prefix}/.installed", f"VENV={sys.prefix}", *target.split()],
        cwd=ROOT,
        env=os.environ | {"MLCLI_RUNS_DIR": str(folders("make") / "runs")},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert ("pytest" if is_long else "accuracy") in process.stdout
