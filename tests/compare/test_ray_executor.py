"""Cells on a small local Ray cluster."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.ray_executor import RayTasks
from mlcli.errors import MlcliError

ray = pytest.importorskip("ray", reason="Ray is not installed: pip install 'mlcli[ray]'")

NEIGHBOURS = """
dataset: iris
backend: sklearn
model:
  name: estimator
  estimator: KNeighborsClassifier
"""
VARY = "model.parameters={n_neighbors: 3},{n_neighbors: 5000}"  # the second fails


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
    command = [sys.executable, "-m", "mlcli", "compare", "knn.yaml", "--vary", VARY, "--seeds", "1", *arguments]
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


def test_results_and_failures_are_those_of_the_local_executor(cluster, tmp_path):
    folders = [tmp_path / "ray", tmp_path / "local"]
    for folder in folders:
        folder.mkdir()
    on_ray = _compare(folders[0], "--executor", "ray", "--address", cluster)
    local = _compare(folders[1], "--threads", "1")
    assert on_ray.returncode == local.returncode == 6, on_ray.stderr
    documents = [json.loads(process.stdout) for process in (on_ray, local)]
    assert _without_times(documents[0]) == _without_times(documents[1])
    assert [len(variant["runs"]) for variant in documents[0]["variants"]] == [1, 0]
    assert len(list((folders[0] / "runs").glob("*/metrics.json"))) == 2


def _connect(tmp_path, address, n_cpus):
    return RayTasks(CompareRequest(executor="ray", address=address, threads=n_cpus), tmp_path)


def test_cells_that_fit_no_node_are_refused(cluster, tmp_path):
    try:
        assert _connect(tmp_path, cluster, n_cpus=1).n_slots == 2
        ray.shutdown()
        with pytest.raises(MlcliError, match="a cell needs 64 CPUs and 0 GPUs.*the largest has 2 CPUs"):
            _connect(tmp_path, cluster, n_cpus=64)
    finally:
        ray.shutdown()


def test_a_missing_cluster_is_refused(tmp_path):
    with pytest.raises(MlcliError, match="no Ray cluster at 127.0.0.1:1"):
        _connect(tmp_path, "127.0.0.1:1", n_cpus=1)
