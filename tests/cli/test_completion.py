"""What shells complete."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlcli.cli.completion import completed, completed_list, completed_settings
from mlcli.config.dump import settings_by_key
from mlcli.config.experiment import load_experiment
from mlcli.registry import MODELS, OPTIMIZERS, SCHEDULES

RUN = "20260101T000000Z_iris"
UNFINISHED = "20260102T000000000Z_iris_mlp_torch_s0_b24bbd7"


@pytest.fixture
def offered(tmp_path):
    """Return what bash is offered for the last word of a command line, in a folder with two runs."""
    (tmp_path / "stored" / RUN).mkdir(parents=True)
    (tmp_path / "stored" / RUN / "config.yaml").touch()
    (tmp_path / "stored" / UNFINISHED / "checkpoint").mkdir(parents=True)
    (tmp_path / "stored" / UNFINISHED / "config.yaml").touch()

    def complete(line):
        words = line.split("\n" if "\n" in line else " ")
        environment = {"_MLCLI_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
        done = subprocess.run(
            [sys.executable, "-c", "import sys; sys.argv[0] = 'mlcli'; from mlcli.cli.app import main; main()"],
            cwd=tmp_path, env=os.environ | environment | {"MLCLI_RUNS_DIR": "stored"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout.split()

    return complete


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("mlcli train --backend ", ["sklearn", "torch", "keras"]),
        ("mlcli compare --backend torch,k", ["torch,keras"]),
        ("mlcli train --optimizer ada", ["adam", "adamw"]),
        ("mlcli train digits", ["digits_mlp"]),
        ("mlcli train --set optimizer.mom", ["optimizer.momentum="]),
        ("mlcli compare --vary schedule=c", ["schedule=constant", "schedule=cosine"]),
        ("mlcli evaluate 20260101T000000Z_i", [RUN]),
        ("mlcli evaluate l", ["last"]),
        ("mlcli evaluate b2", ["b24bbd7"]),
        ("mlcli train --resume 2026", [UNFINISHED]),
        ("mlcli schema ru", ["runs"]),
        ("mlcli schema runs ", ["list", "show"]),
        ("mlcli schema runs s", ["show"]),
        ("mlcli compare last 20260101T000000Z_i", [RUN]),
        ("mlcli evaluate last --format j", ["json"]),
    ],
)
def test_values_are_completed(offered, line, values):
    assert offered(line) == values


@pytest.mark.parametrize(
    ("line", "values"),
    [
        ("mlcli train --set schedule =", ["constant", "step", "cosine", "one_cycle"]),
        ("mlcli train --set schedule = c", ["constant", "cosine"]),
        ("mlcli compare --vary schedule = step,c", ["step,constant", "step,cosine"]),
        ("mlcli train --set seed = 3 --set optimizer.mom", ["optimizer.momentum="]),
        ("mlcli train --backend = k", ["keras"]),
        ("mlcli train --set = schedule = o", ["one_cycle"]),
    ],
)
def test_bash_splits_the_command_line_at_equals_signs_and_replaces_only_what_follows(offered, line, values):
    assert offered(line.replace(" ", "\n")) == values


def test_every_key_of_a_configuration_is_offered():
    offered = {text.rstrip("=") for text in completed_settings("")}
    resolved = load_experiment(
        None, settings=["init_from.run=x", "training.early_stopping={}", "model=mlp", "optimizer=sgd"], environ={}
    )
    keys = {key for key in settings_by_key(resolved) if key not in ("model.name", "optimizer.name", "schedule.name")}
    assert keys <= offered
    assert {"model", "optimizer", "schedule", "optimizer.beta1", "model.channels", "schedule.final_fraction"} <= offered


def test_the_names_of_sections_and_the_choices_of_keys_are_offered():
    for key, names in (("model", MODELS), ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        assert sorted(completed_settings(f"{key}=")) == sorted(f"{key}={name}" for name in names)
        assert sorted(completed_settings(f"{key}.name=")) == sorted(f"{key}.name={name}" for name in names)
    assert completed_settings("runtime.precision=") == ["runtime.precision=float32", "runtime.precision=float64"]
    assert completed_settings("optimizer=sgd,") == [f"optimizer=sgd,{name}" for name in OPTIMIZERS if name != "sgd"]
    assert completed_settings("nonsense=") == []


def test_names_and_lists_of_names():
    assert completed(("sgd", "adam", "adamw"))("ad") == ["adam", "adamw"]
    assert completed_list(("a", "b", "c"))("c,") == ["c,a", "c,b"]


def test_completion_loads_nothing_heavy():
    code = (
        "import sys; from mlcli.cli import app, completion; completion.completed_settings(''); "
        "print([name for name in ('numpy', 'pydantic', 'yaml', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
