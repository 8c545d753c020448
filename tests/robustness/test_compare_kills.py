"""Killing or interrupting `mlcli compare` or one of its cells loses no result and repeats no training."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest

from tests.fixtures.processes import start

N_KILLS = 2
N_SEEDS = 3


def _command(runs_directory):
    options = ["--backend", "sklearn", "--seeds", str(N_SEEDS)]
    options += ["--set", "dataset=iris", "--set", "model=logistic", "--runs-dir", str(runs_directory)]
    config = runs_directory.parent / "iris.yaml"
    config.write_text("dataset: iris\nmodel: logistic\n")
    return [sys.executable, "-m", "mlcli", "compare", str(config), *options, "--format", "json", "--quiet"]


def _start(command):
    return start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)


def _kill_at_random(process, rng):
    """Wait, then kill the comparison or the run it has started; return False if it ended before."""
    cell = _first_cell(process)
    time.sleep(rng.uniform(0, 1.5))
    if cell is None or process.poll() is not None:
        return False
    try:
        if rng.random() < 0.5:
            cell.kill()
        else:
            process.kill()
            process.wait(timeout=10)
    except psutil.NoSuchProcess:
        return False
    return True


def _first_cell(process):
    while process.poll() is None:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children():
                return child
        time.sleep(0.02)
    return None


def _result(command):
    process = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


def _without_times(document):
    return [
        [
            variant["label"],
            [[run["seed"], run["accuracy"], run["loss"], run["n_parameters"]] for run in variant["runs"]],
        ]
        for variant in document["variants"]
    ]


def _finished_experiments(runs_directory):
    records = [json.loads(path.read_text()) for path in runs_directory.glob("*/metrics.json")]
    return Counter(record["digests"]["experiment"] for record in records if record["status"] == "finished")


@pytest.mark.parametrize("seed", [0])
def test_nothing_is_lost_or_repeated(tmp_path, seed):
    rng = random.Random(seed)
    runs = tmp_path / "killed" / "runs"
    runs.mkdir(parents=True)
    command = _command(runs)
    n_kills = 0
    process = _start(command)
    while n_kills < N_KILLS and sum(_finished_experiments(runs).values()) < N_SEEDS:
        if process.poll() is not None:
            process = _start(command)
        n_kills += _kill_at_random(process, rng)
    process.kill()
    process.wait(timeout=10)
    assert n_kills > 0
    final = _result(command)
    counts = _finished_experiments(runs)
    assert len(counts) == N_SEEDS
    assert set(counts.values()) == {1}
    quiet = tmp_path / "uninterrupted" / "runs"
    quiet.mkdir(parents=True)
    assert _without_times(final) == _without_times(_result(_command(quiet)))


def test_a_cell_interrupted_by_sighup_runs_again_in_the_next_call(tmp_path):
    """Its process exits with 129, like one whose terminal was closed."""
    (tmp_path / "digits.yaml").write_text("dataset: digits\nmodel:\n  hidden: [16]\ntraining:\n  epochs: 100000\n")
    options = ["digits.yaml", "-b", "sklearn", "--seeds", "1", "--format", "json"]
    command = [sys.executable, "-m", "mlcli", "compare", *options]
    process = start(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    cell = _first_cell(process)
    while process.poll() is None and not list((tmp_path / "runs").glob("*/history.csv")):
        time.sleep(0.05)
    cell.send_signal(signal.SIGHUP)
    document = json.loads(process.communicate(timeout=60)[0])
    assert process.returncode == 6
    (failure,) = document["variants"][0]["failures"]
    assert failure["reason"] == "interrupted by SIGHUP; the next call runs it again"
    plan = subprocess.run([*command, "--dry-run"], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert [planned["state"] for planned in json.loads(plan.stdout)["cells"]] == ["to run"]
