"""Real processes are killed: no checkpoint is ever damaged, and the resumed run is bit-identical.

After every kill the newest checkpoint must be intact, twenty times in all; MLCLI_SOAK_KILLS sets another number.
"""

from __future__ import annotations

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from safetensors.numpy import load_file

from mlcli.runs.checkpoint import CheckpointFolder
from tests.fixtures.processes import start_mlcli

N_KILLS_EACH = 5
N_KILLS = int(os.environ.get("MLCLI_SOAK_KILLS", "20")) - 3 * N_KILLS_EACH
N_EPOCHS = 40
EVERY_STEP = ("--checkpoint-every", "1steps")
SETTINGS = {
    "dataset.validation": "0.2", "optimizer": "sgd", "optimizer.momentum": "0.9", "schedule": "cosine",
    "training.early_stopping.patience": "1000", "training.batch_size": "64", "runtime.threads": "1",
}  # fmt: skip


def command(backend, path, n_epochs, *more):
    settings = SETTINGS | ({} if backend == "sklearn" else {"model.dropout": "0.2"})
    arguments = ["train", "--backend", backend, "--dataset", "digits", "--epochs", str(n_epochs), "--out", str(path)]
    for key, value in settings.items():
        arguments += ["--set", f"{key}={value}"]
    return [*arguments, *more]


def mlcli(arguments):
    return start_mlcli(*arguments, "--quiet", stdout=subprocess.DEVNULL)


def checkpoints(path):
    return {file.name for file in (path / "checkpoint").glob("*.safetensors")}


def kill_at_random(process, path, rng):
    """Kill a process shortly after it has written its first checkpoint; return the step of the newest checkpoint."""
    before = checkpoints(path)
    while process.poll() is None and checkpoints(path) <= before:
        time.sleep(0.005)
    time.sleep(rng.uniform(0, 0.2))
    assert process.poll() is None, f"it ended before it could be killed: {process.communicate()}"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    found = CheckpointFolder(path).find()
    assert found.issues == ()
    assert found.checkpoint is not None
    return found.checkpoint.position.step


def finish(process):
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors


def history(path):
    with (path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if "second" not in name} for row in rows]


def assert_same_run(left, right):
    weights = [load_file(path / "weights.safetensors") for path in (left, right)]
    for name, array in weights[1].items():
        np.testing.assert_array_equal(weights[0][name], array)
    assert (left / "predictions.npz").read_bytes() == (right / "predictions.npz").read_bytes()
    assert history(left) == history(right)
    records = [json.loads((path / "metrics.json").read_text()) for path in (left, right)]
    for name in ("metrics", "digests", "epochs", "best_epoch"):
        assert records[0][name] == records[1][name], name


@pytest.mark.parametrize("backend", ["torch", "keras", "sklearn"])
def test_a_run_killed_five_times_ends_bit_identical_to_an_uninterrupted_run(backend, tmp_path):
    rng, run, uninterrupted = random.Random(backend), tmp_path / "run", tmp_path / "uninterrupted"
    process = mlcli(command(backend, run, N_EPOCHS, *EVERY_STEP))
    for n_left in reversed(range(N_KILLS_EACH)):
        kill_at_random(process, run, rng)
        process = mlcli(["train", "--resume", str(run), *(EVERY_STEP if n_left else ())])
    finish(process)
    finish(mlcli(command(backend, uninterrupted, N_EPOCHS)))
    assert_same_run(run, uninterrupted)


def test_kills_while_checkpoints_are_written_never_damage_one(tmp_path):
    rng, run, last_step = random.Random(0), tmp_path / "run", 0
    process = mlcli(command("sklearn", run, 100_000, "--set", "model.hidden=[1024]", *EVERY_STEP))
    for _ in range(N_KILLS):
        step = kill_at_random(process, run, rng)
        assert step > last_step
        last_step = step
        process = mlcli(["train", "--resume", str(run), *EVERY_STEP])
    process.kill()
    process.communicate()


def test_a_second_process_that_resumes_the_same_run_is_refused(tmp_path):
    run = tmp_path / "run"
    first = mlcli(command("sklearn", run, 100_000, "--checkpoint-every", "1epoch"))
    while first.poll() is None and not checkpoints(run):
        time.sleep(0.01)
    second = mlcli(["train", "--resume", str(run)])
    _, errors = second.communicate(timeout=60)
    assert second.returncode == 1
    assert f"is locked by process {first.pid}" in errors
    assert first.poll() is None
    first.kill()
    first.communicate()


def test_fifty_processes_that_start_at_once_have_fifty_directories(tmp_path):
    start = tmp_path / "start"
    code = (
        "import pathlib, sys, time\n"
        "from mlcli.config.schema import ExperimentConfig\n"
        "from mlcli.runs.directory import RunDirectory\n"
        "runs, start = map(pathlib.Path, sys.argv[1:])\n"
        "config = ExperimentConfig(name='same', backend='torch')\n"
        "print('ready', flush=True)\n"
        "while not start.exists(): time.sleep(0.001)\n"
        "print(RunDirectory.create(config, runs).path)\n"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "runs"), str(start)]
    processes = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(50)]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    start.touch()
    made = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert len(set(made)) == 50
    assert {str(path) for path in (tmp_path / "runs").iterdir()} == set(made)
