"""The examples of the README and of docs/ do what the pages show.

`console`: commands that are run, in order, in a folder of the page; every line of output that a page shows is printed,
in this order, with other numbers at most. `yaml`: a valid configuration, written to the file that a comment in its
first line names. `python`: run in the same folder. `sh`: commands that need another machine or minutes; their options
and configurations are checked.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mlcli.cli.app import app
from mlcli.config.shipped import shipped_configs
from mlcli.experiment.configurations import check_file
from tests.fixtures.pages import PAGES, ROOT, steps, unexecuted_commands
from tests.fixtures.tables import PENGUINS
from tests.fixtures.warm import warm_mlcli

CLI = typer.main.get_command(app)
STEPS = [step for page in PAGES for step in steps(page)]
UNEXECUTED = [command for page in PAGES for command in unexecuted_commands(page)]
COPY = "/path/to/a/copy"  # of the image files
_ACCURACY = 0.03  # by which accuracies differ at most between processors


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder for each page in which its examples run, with a few samples to predict, and a table."""
    made = {}

    def folder(page):
        if page not in made:
            made[page] = tmp_path_factory.mktemp(Path(page).stem)
            np.save(made[page] / "samples.npy", np.zeros((5, 8, 8), dtype=np.uint8))
            shutil.copyfile(PENGUINS, made[page] / "penguins.csv")
        return made[page]

    return folder


def _name(step):
    return f"{step.page}:{step.number} {step.text.splitlines()[0]}"


@pytest.mark.parametrize("step", [step for step in STEPS if not step.text.startswith("make")], ids=_name)
def test_an_example_works_as_the_page_shows(step, folders, request):
    folder = folders(step.page)
    if step.kind == "yaml":
        path = folder / (_file_name(step.text) or "fragment.yaml")
        path.write_text(step.text)
        check_file(path)  # raises ConfigError with what is wrong
        return
    command = [sys.executable, "-c", step.text] if step.kind == "python" else step.text
    folders_of_programs = [warm_mlcli().parent, Path(sys.executable).parent, os.environ["PATH"]]
    environment = os.environ | {"PATH": os.pathsep.join(map(str, folders_of_programs))}
    environment["PYTHONPATH"] = str(ROOT)
    if re.search("mnist|fashion", step.text) and not re.match(r"mlcli config|.*--(dry-run|summary)", step.text):
        images = str(request.getfixturevalue("image_data_dir"))
        environment["MLCLI_DATA_DIR"] = images
        command = command.replace(COPY, images)
    process = subprocess.run(
        command,
        shell=step.kind == "console",
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert _first_missing(step.output, process.stdout.splitlines()) is None, process.stdout


def _file_name(text):
    found = re.match(r"# (\S+\.yaml)\n", text)
    return found and found[1]


def _first_missing(expected, printed):
    """Return the first of the expected lines that is not printed after the lines before it; `...` stands for any."""
    remaining = iter(printed)
    return next((line for line in expected if line != "..." and not any(_agree(line, one) for one in remaining)), None)


def _agree(shown, printed):
    """Return whether two lines differ in numbers, run ids, and the width of tables at most, and have equal accuracies.

    Times, and the last digits of scores, differ between machines.
    """
    if _form(shown) != _form(printed):
        return False
    if "accuracy" not in shown:
        return True
    scores = [list(map(float, re.findall(r"\b0\.\d{4}\b", line))) for line in (shown, printed)]
    return scores[0] == pytest.approx(scores[1], abs=_ACCURACY)


def _form(line):
    line = re.sub(r"\b\d{8}T\d+Z_(\w+)_[0-9a-f]{6,7}\b", r"RUN_\1", line)
    line = re.sub(r"│ [0-9a-f]{7} │", "│ SHORT │", line)
    line = re.sub(r"[-+]?\d[\d,.:]*(e[-+]?\d+)?", "0", line)
    return re.sub(r"[─╮╯┤]+|\s+", " ", re.sub(r"[╭╰├┬┴┼]", "─", line)).strip()


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
    assert _agree(shown, printed) is is_equal


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


@pytest.mark.parametrize("target", [step.text.removeprefix("make ") for step in STEPS if step.text.startswith("make")])
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
