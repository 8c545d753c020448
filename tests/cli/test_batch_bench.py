"""`mlcli batch-bench` as a shell sees it."""

from __future__ import annotations

import json
import os
import re
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
def ladder(tmp_path_factory):
    """One run over three sizes and one that no memory can hold: the process and its JSON document."""
    directory = tmp_path_factory.mktemp("ladder")
    arguments = ("--dataset", "iris", "--threads", 1, "--sizes", "1,50,100,100000000000", "--tile", *QUICK)
    process = subprocess.run(
        [sys.executable, "-m", "mlcli", "batch-bench", *map(str, arguments), "-o", "bench.json"],
        cwd=directory, env=os.environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    return process, json.loads((directory / "bench.json").read_text())


def test_the_document_holds_every_size_of_both_phases_with_raw_samples(ladder):
    process, document = ladder
    assert process.stdout == ""  # it went to the file
    assert document["schema_version"] == 1
    assert document["settings"]["threads"] == [1]
    measured = [series for series in document["series"] if series["status"] == "measured"]
    assert [(s["phase"], s["batch_size"]) for s in measured] == [
        (phase, size) for phase in ("forward", "train") for size in (1, 50, 100)
    ]
    for series in measured:
        assert len(series["samples"]) == len(series["references"]) == len(series["disturbed"]) == 6
        figures = series["figures"]
        assert min(series["samples"]) <= figures["median_seconds"] <= max(series["samples"])
        assert figures["samples_per_second"] == pytest.approx(series["batch_size"] / figures["median_seconds"])
        assert 0 < figures["share_of_peak"] < 1
        assert series["first_call_seconds"] > 0
        assert series["peak_memory_bytes"] > 2**20
    assert [s["figures"]["speedup"] for s in measured if s["batch_size"] == 1] == [1.0, 1.0]
    # Nothing is trained while it is measured: both phases show the loss of the initial weights.
    losses = {(s["batch_size"], round(s["loss"], 6)) for s in measured}
    assert len(losses) == 3


def test_a_batch_that_no_memory_holds_is_a_row_that_says_so(ladder):
    _, document = ladder
    too_large = [s for s in document["series"] if s["batch_size"] == 100_000_000_000]
    assert [(s["phase"], s["status"]) for s in too_large] == [("forward", "out of memory"), ("train", "out of memory")]
    assert all("memory" in s["reason"] and s["samples"] == [] and s["figures"] is None for s in too_large)


def test_an_epoch_has_the_short_last_batch(ladder):
    _, document = ladder
    steps = {s["batch_size"]: (s["steps_per_epoch"], s["last_batch_size"]) for s in document["series"]}
    assert steps == {1: (120, 1), 50: (3, 20), 100: (2, 20), 100_000_000_000: (1, 120)}


def test_the_time_adds_up(ladder):
    timing = ladder[1]["timing"]
    parts = ("startup_seconds", "measured_seconds", "warmup_seconds", "harness_seconds")
    assert all(timing[part] > 0 for part in parts)
    assert sum(timing[part] for part in parts) == pytest.approx(timing["wall_seconds"])


def test_the_line_to_paste_trains(ladder, cli):
    _, document = ladder
    advice = {one["phase"]: one for one in document["advice"]}
    line = advice["train"]["command"]
    assert line.startswith("mlcli train --dataset iris --backend torch --batch-size ")
    assert advice["forward"]["command"] is None
    trained = cli(*shlex.split(line)[1:], "--epochs", 1, "-q", "-f", "json")
    assert trained.returncode == 0, trained.stderr
    assert json.loads(trained.stdout)["threads"] == 1


def test_a_run_is_measured_with_its_weights_and_what_it_has_no_step_for_is_said(stored_runs, cli, tmp_path):
    run = stored_runs / "20260101T000000Z_iris"
    process = cli("batch-bench", run, "--threads", 64, "--sizes", "1,50", *QUICK, "--save-plots", tmp_path / "plots")
    assert process.returncode == 0, process.stderr
    assert "sklearn, prediction: iris logistic, cpu, 64 threads, float32, batches ready on the device" in process.stdout
    assert "not applicable. scikit-learn fits logistic in one call" in process.stdout
    assert "sklearn, prediction: take batches of " in process.stdout
    assert "64 threads share" in process.stderr
    row = next(line for line in process.stdout.splitlines() if "│    50 │" in line)
    assert "3, last 20" in row
    assert float(row.split("│")[3]) < 0.2  # untrained it is ln 3
    assert (tmp_path / "plots" / "batch_bench_prediction.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "plots" / "batch_bench_training.png").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--dataset", "iris", "--sizes", "10,200"), "batch of 200 is more than the 150 samples.*--tile"),
        (("--dataset", "iris", "-b", "sklearn", "--model", "logistic", "--phase", "train"), "in one call"),
        (("--dataset", "iris", "-b", "sklearn", "--precision", "bf16"), "--precision bf16.*torch or keras"),
        (("--dataset", "iris", "-b", "keras", "--compile"), "--compile.*--backend torch"),
        (("-b", "torch,kears"), "unknown backend 'kears' .did you mean 'keras'"),
        (("--phase", "forwards"), "--phase: unknown phase"),
        (("--min-time", "3"), "--min-time 3 and --max-time 2"),
        (("--threads", "1,0"), "--threads 1,0"),
        (("last",), "no finished run in runs"),
        (("none.yaml",), "none.yaml: no such file"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(arguments, words, tmp_path, monkeypatch, capsys):
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
    assert "--dataset, --set: a run brings its own experiment" in process.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_benchmark_that_is_stopped_leaves_no_process_and_no_result(tmp_path, number, code):
    arguments = ("--dataset", "iris", "--sizes", "1", "--max-time", "600", "-o", "bench.json")
    process = start_mlcli("batch-bench", *arguments, cwd=tmp_path, stdout=None)
    try:
        assert process.stderr is not None
        assert "starting torch" in process.stderr.readline()
        measuring = _only_child(process.pid)
        process.send_signal(number)
        _, words = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "stopped by" in words
    assert not psutil.pid_exists(measuring)
    assert not (tmp_path / "bench.json").exists()


def _only_child(pid: int) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        children = psutil.Process(pid).children()
        if children:
            return children[0].pid
        time.sleep(0.05)
    raise AssertionError("no process was started")


def test_a_model_that_no_memory_holds_is_an_error_of_memory(cli):
    process = cli("batch-bench", "--dataset", "iris", "--set", "model.hidden=[4000000,4000000]", "--sizes", "1", *QUICK)
    assert process.returncode == 5
    assert "out of memory" in process.stderr
    assert len(process.stderr.splitlines()) <= 4  # with the line that says what starts
