"""Processes that share a data directory: simultaneous starts, damaged files, signals during a download."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from mlcli.data.images import mnist
from mlcli.registry import dataset_info
from tests.fixtures.processes import start as start_process

# Adds a row to the table of datasets.
WITH_TINY = """
import json, sys, types
from mlcli.data.images import ImageSource
from mlcli.data.source import RawFile
from mlcli.registry import DATASETS, DatasetRow
from mlcli.records import DatasetInfo
made = json.loads(sys.argv.pop(1))
lists = ("input_shape", "class_names", "feature_names")
info = DatasetInfo(**{key: tuple(value) if key in lists else value for key, value in made.pop("info").items()})
files = tuple(RawFile(**file) for file in made.pop("files"))
tiny = types.ModuleType("tiny")
tiny.source = lambda info: ImageSource(info=info, files=files, **made)
sys.modules["tiny"] = tiny
DATASETS["tiny"] = DatasetRow("tiny:source", info)
"""
MLCLI = "from mlcli.cli.app import main; main()"
LOAD = """
from mlcli.config.schema import DatasetConfig
from mlcli.data.load import load_dataset
messages = []
dataset = load_dataset(DatasetConfig(name="tiny"), log=messages.append)
print(json.dumps({"messages": messages, "samples": len(dataset.train), "torch": "torch" in sys.modules}))
"""
TRAIN = ("train", "--dataset", "tiny", "--backend", "sklearn", "--model", "logistic")


@pytest.fixture
def start(server, tiny_source, tmp_path):
    """Start `mlcli ARGS` with the tiny dataset, in an empty folder whose data directory is `data`."""
    row = json.dumps(asdict(tiny_source(server.url)))
    started = []

    def run(*arguments, code=MLCLI):
        process = start_process(
            [sys.executable, "-c", WITH_TINY + code, row, *arguments],
            cwd=tmp_path,
            env=os.environ | {"MLCLI_DATA_DIR": str(tmp_path / "data")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def offer_all(server, bodies):
    for name, body in bodies.items():
        server.offer(f"/{name}", body)


def test_eight_processes_on_an_empty_directory_download_once(server, start, tiny_bodies, tmp_path):
    def slowly(body):
        def answer(request):
            time.sleep(0.3)  # gives the other processes time to start
            request.send_response(200)
            request.end_headers()
            request.wfile.write(body)

        return answer

    for name, body in tiny_bodies.items():
        server.answers[f"/{name}"] = slowly(body)
    fetching = [start("data", "fetch", "tiny", "--format", "json") for _ in range(4)]
    loading = [start(code=LOAD) for _ in range(4)]  # as `mlcli train` does
    answers = [process.communicate(timeout=120) for process in fetching + loading]
    assert [process.returncode for process in fetching + loading] == [0] * 8, answers
    assert dict(server.n_requests) == {f"/{name}": 1 for name in tiny_bodies}
    loaded = [json.loads(stdout) for stdout, _ in answers[4:]]
    assert [outcome["samples"] for outcome in loaded] == [60] * 4
    messages = [stderr for _, stderr in answers[:4]] + ["\n".join(outcome["messages"]) for outcome in loaded]
    assert sum("preparing tiny" in message for message in messages) == 1
    assert sum(outcome["torch"] for outcome in loaded) <= 1  # 1 if one of these processes prepared the data
    n_fetched = [json.loads(stdout)["rows"][0]["n_fetched_files"] for stdout, _ in answers[:4]]
    assert sum(n_fetched) == (0 if any(outcome["torch"] for outcome in loaded) else 4)
    assert not [path.name for path in (tmp_path / "data").rglob(".*") if path.suffix != ".lock"]


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition(), process.communicate(timeout=60)


def stall_after_half(server, name, body):
    def answer(request):
        request.send_response(200)
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])
        request.wfile.flush()
        server.released.wait(60)

    server.answers[f"/{name}"] = answer


def parts(tmp_path, name):
    """Return the file of a transfer in progress."""
    return list(tmp_path.glob(f"data/FashionMNIST/raw/.incoming-*/{name}"))


STOPS = {"SIGINT": (signal.SIGINT, 130), "SIGTERM": (signal.SIGTERM, 143), "SIGKILL": (signal.SIGKILL, -signal.SIGKILL)}


@pytest.mark.parametrize(("number", "code"), STOPS.values(), ids=STOPS)
def test_a_signal_ends_a_download_and_the_next_start_works(
    server, start, tiny_source, tiny_bodies, tmp_path, number, code
):
    offer_all(server, tiny_bodies)
    first, second, *_ = tiny_bodies
    stall_after_half(server, second, tiny_bodies[second])
    process = start(*TRAIN)
    wait_for(lambda: parts(tmp_path, second), process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr  # an abandoned transfer would exit with 3
    assert stdout == ""
    assert "Traceback" not in stderr
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    if number != signal.SIGKILL:
        assert [path.name for path in raw.iterdir()] == [first]
        statuses = [json.loads(path.read_text())["status"] for path in tmp_path.glob("runs/*/metrics.json")]
        assert statuses in ([], ["interrupted"])

    server.n_requests.clear()
    offer_all(server, tiny_bodies)
    tiny_source(server.url).read(tmp_path / "data", offline=False, log=lambda _: None)
    assert dict(server.n_requests) == {f"/{name}": 1 for name in tiny_bodies if name != first}
    assert {path.name: path.read_bytes() for path in raw.iterdir()} == tiny_bodies


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_wait_for_another_process(server, start, tiny_bodies, tmp_path, number, code):
    first, *_ = tiny_bodies
    stall_after_half(server, first, tiny_bodies[first])
    holder = start("data", "fetch", "tiny")
    wait_for(lambda: parts(tmp_path, first), holder)
    waiter = start("data", "fetch", "tiny")
    assert "waiting for another process that is fetching tiny" in waiter.stderr.readline()
    waiter.send_signal(number)
    waiter.communicate(timeout=60)
    assert waiter.returncode == code


@pytest.mark.parametrize("manner", ["emptied", "truncated", "altered"])
def test_damaged_files_offline_are_exit_code_3_and_leave_no_run(manner, tmp_path):
    files = mnist(dataset_info("mnist")).files
    raw = tmp_path / "the data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for file in files:
        (raw / file.name).touch()
        os.truncate(raw / file.name, {"emptied": 0, "truncated": file.n_bytes - 1, "altered": file.n_bytes}[manner])
    command = [sys.executable, "-m", "mlcli", "train", "--dataset", "mnist", "--offline", "--data-dir", "the data"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert process.returncode == 3
    assert process.stdout == ""
    detail = {"emptied": "has 0 bytes", "truncated": "has 9912421 bytes", "altered": "has md5 "}[manner]
    *_, first, second, third = process.stderr.splitlines()
    assert first.startswith(f"mlcli: mnist: {raw}/{files[0].name} {detail}")
    assert "network access is disabled (--offline or MLCLI_OFFLINE)" in second
    assert third.endswith(f"mlcli data fetch mnist --from DIR|URL --data-dir '{tmp_path}/the data'")
    assert not (tmp_path / "runs").exists()
