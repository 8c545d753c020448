"""A matrix on a Ray cluster of two workers, started here: the same table as on this machine, timings apart."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlcli[ray]'")

NEIGHBOURS = """
dataset: iris
backend: sklearn
model:
  name: estimator
  estimator: KNeighborsClassifier
"""
VARY = "model.parameters={n_neighbors: 3},{n_neighbors: 5000},{n_neighbors: 60}"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster with two CPUs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from ray.scripts.scripts import main; main()", "start", "--head", "--block"]
    options = ["--num-cpus=2", f"--port={port}", "--include-dashboard=false", "--disable-usage-stats"]
    options += ["--node-ip-address=127.0.0.1"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"127.0.0.1:{port}"
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    yield address
    process.terminate()
    process.wait(timeout=60)


def _compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "knn.yaml").write_text(NEIGHBOURS)
    command = [sys.executable, "-m", "mlcli", "compare", "knn.yaml", "--vary", VARY, "--seeds", "2", *arguments]
    return subprocess.run(
        [*command, "--format", "json"], cwd=folder, env=os.environ, capture_output=True, text=True, timeout=300,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def _without_times(document: dict) -> list:
    return [
        [
            variant["label"],
            [[run["seed"], run["accuracy"], run["loss"]] for run in variant["runs"]],
            variant["failures"],
        ]
        for variant in document["variants"]
    ]


def test_the_table_is_that_of_the_local_executor(cluster, tmp_path):
    folders = [tmp_path / "ray", tmp_path / "local"]
    for folder in folders:
        folder.mkdir()
    there = _compare(folders[0], "--executor", "ray", "--address", cluster)
    here = _compare(folders[1], "--threads", "1")
    assert there.returncode == here.returncode == 6, there.stderr
    documents = [json.loads(process.stdout) for process in (there, here)]
    assert _without_times(documents[0]) == _without_times(documents[1])
    assert documents[0]["pairs"][0]["accuracy"] == documents[1]["pairs"][0]["accuracy"]
    assert len(list((folders[0] / "runs").glob("*/metrics.json"))) == 6


def test_a_cell_that_no_node_can_hold_is_refused_instead_of_waited_for(cluster, tmp_path):
    process = _compare(tmp_path, "--executor", "ray", "--address", cluster, "--threads", "64")
    assert process.returncode == 1
    assert "a cell takes 64 CPUs" in process.stderr


def test_no_cluster_is_said_so(tmp_path):
    process = _compare(tmp_path, "--executor", "ray", "--address", "127.0.0.1:1")
    assert process.returncode == 1
    assert "no Ray cluster at 127.0.0.1:1" in process.stderr
