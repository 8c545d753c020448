"""`mlcli batch-bench` as a process: output, exit codes, signals and memory."""

from __future__ import annotations

import json
import os
import re
import resource
import shlex
import signal
import subprocess
import sys
import time

import psutil
import pytest

from mlcli.cli.app import app
from mlcli.errors import UsageError
from tests.fixtures.processes import start_mlcli

QUICK = ("--max-time", 0.05, "--repeats", 6)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """A benchmark of three batch sizes: the finished process and its JSON document."""
    directory = tmp_path_factory.mktemp("sweep")
    arguments = ("--dataset", "iris", "--threads", 1, "--sizes", "1,50,100", *QUICK)
    process = subprocess.run(
        [sys.executable, "-m", "mlcli", "batch-bench", *map(str, arguments), "-o", "bench.json"],
        cwd=directory, env=os.environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process, json.loads((directory / "bench.json").read_text())


def test_the_document_holds_every_size_of_both_phases_with_raw_samples(sweep):
    process, document = sweep
    assert process.stdout == ""  # the document was written to the file
    assert document["schema_version"] == 2
    assert document["settings"]["threads"] == [1]
    measured = [series for series in document["series"] if series["status"] == "measured"]
    assert [(s["phase"], s["batch_size"]) for s in measured] == [
        (phase, size) for phase in ("forward", "train") for size in (1, 50, 100)
    ]
    for series in measured:
        assert len(series["samples"]) == len(series["probes"]) == len(series["disturbed"]) == 6
        figures = series["statistics"]
        assert min(series["samples"]) <= figures["median_seconds"] <= max(series["samples"])
        assert figures["samples_per_second"] == pytest.approx(series["batch_size"] / figures["median_seconds"])
        assert 0 < figures["fraction_of_peak"] < 1
        assert series["first_call_seconds"] > 0
        assert series["peak_memory_bytes"] > 2**20
    assert [s["statistics"]["speedup"] for s in measured if s["batch_size"] == 1] == [1.0, 1.0]
    # Nothing is trained while it is measured: both phases show the loss of the initial weights.
    losses = {(s["batch_size"], round(s["loss"], 6)) for s in measured}
    assert len(losses) == 3


def test_a_batch_that_exceeds_memory_is_a_row_with_the_reason(tmp_path):
    """The outputs of the hidden layer take 0.8 MB per sample."""
    model = ("--dataset", "digits", "--set", "model.hidden=[200000]", "--phase", "forward", "--threads", 1)
    process = subprocess.run(
        [sys.executable, "-m", "mlcli", "batch-bench", *map(str, (*model, "--sizes", "1,1400", *QUICK)), "-f", "json"],
        cwd=tmp_path, env=os.environ, capture_output=True, text=True, timeout=120, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (15 * 10**8, 15 * 10**8)),
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    small, large = json.loads(process.stdout)["series"]
    assert (small["batch_size"], small["status"]) == (1, "measured")
    assert (large["batch_size"], large["status"]) == (1400, "out of memory")
    assert "memory" in large["reason"]
    assert large["samples"] == []
    assert large["statistics"] is None


def test_an_epoch_has_the_short_last_batch(sweep):
    _, document = sweep
    steps = {s["batch_size"]: (s["steps_per_epoch"], s["last_batch_size"]) for s in document["series"]}
    assert steps == {1: (120, 1), 50: (3, 20), 100: (2, 20)}


def test_the_time_adds_up(sweep):
    timing = sweep[1]["timing"]
    parts = ("startup_seconds", "measured_seconds", "warmup_seconds", "harness_seconds")
    assert all(timing[part] > 0 for part in parts)
    assert sum(timing[part] for part in parts) == pytest.approx(timing["wall_seconds"])


def test_the_advised_command_trains(sweep, cli):
    _, document = sweep
    advice = {one["phase"]: one for one in document["advice"]}
    line = advice["train"]["command"]
    assert line.startswith("mlcli train --dataset iris --backend torch --batch-size ")
    assert advice["forward"]["command"] is None
    trained = cli(*shlex.split(line)[1:], "--epochs", 1, "-q", "-f", "json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["threads"] == 1


def test_a_run_is_measured_with_its_weights_and_a_missing_training_step_is_reported(stored_runs, cli, tmp_path):
    run = stored_runs / "20260101T000000Z_iris"
    process = cli("batch-bench", run, "--threads", 64, "--sizes", "1,50", *QUICK, "--save-plots", tmp_path / "plots")
    assert process.returncode == 0, process.stderr
    assert (
        "sklearn, prediction: iris logistic, cpu, 64 threads, float32, batches already on the device" in process.stdout
    )
    assert "not applicable. scikit-learn fits logistic in a single fit" in process.stdout
    assert "sklearn, prediction: use batch size " in process.stdout
    assert "64 threads share" in process.stderr
    row = next(line for line in process.stdout.splitlines() if "│    50 │" in line)
    assert "3, last 20" in row
    assert float(row.split("│")[3]) < 0.2  # untrained it is ln 3
    assert (tmp_path / "plots" / "batch_bench_prediction.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "plots" / "batch_bench_training.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dataset", "iris", "--sizes", "10,200"), "batch size 200 exceeds the 150 samples"),
        (("--dataset", "iris", "-b", "sklearn", "--model", "logistic", "--phase", "train"), "in a single fit"),
        (("--dataset", "iris", "-b", "sklearn", "--precision", "bf16"), "--precision bf16.*torch or keras"),
        (("--dataset", "iris", "-b", "keras", "--compile"), "--compile.*--backend torch"),
        (("-b", "torch,kears"), "unknown backend 'kears' .did you mean 'keras'"),
        (("--phase", "forwards"), "--phase: unknown phase"),
        (("--min-time", "3"), "--min-time 3, --max-time 2"),
        (("--threads", "1,0"), "--threads 1,0"),
        (("last",), "no finished run in runs"),
        (("none.yaml",), "none.yaml: no such file"),
    ],
)
def test_impossible_requests_are_refused_before_anything_starts(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refusal:
        app(["batch-bench", *arguments], standalone_mode=False)
    message = str(refusal.value)
    assert re.search(words, message, re.DOTALL)
    assert len(message.splitlines()) <= 3
    assert "starting" not in capsys.readouterr().err


def test_a_run_keeps_its_experiment(stored_runs, cli):
    process = cli("batch-bench", stored_runs / "20260101T000000Z_digits", "--dataset", "iris", "--set", "seed=1")
    assert process.returncode == 2
    assert "--dataset, --set: a run is measured with its own experiment" in process.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_benchmark_leaves_no_process_and_no_result(tmp_path, number, code):
    arguments = ("--dataset", "iris", "--sizes", "1", "--max-time", "600", "-o", "bench.json")
    process = start_mlcli("batch-bench", *arguments, cwd=tmp_path, stdout=None)
    try:
        assert process.stderr is not None
        assert "starting torch" in process.stderr.readline()
        worker = _worker_of(process.pid)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "stopped by" in errors
    assert not psutil.pid_exists(worker)
    assert not (tmp_path / "bench.json").exists()


def _worker_of(pid):
    """Return the id of the worker process, which is not the resource tracker of multiprocessing."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for child in psutil.Process(pid).children():
            if "spawn_main" in " ".join(child.cmdline()):
                return child.pid
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def test_a_model_that_exceeds_memory_is_an_out_of_memory_error(cli):
    process = cli("batch-bench", "--dataset", "iris", "--set", "model.hidden=[4000000,4000000]", "--sizes", "1", *QUICK)
    assert process.returncode == 5
    assert "out of memory" in process.stderr
    assert len(process.stderr.splitlines()) <= 4  # including the line that announces the start
