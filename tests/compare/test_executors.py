"""Cells on a small local Ray cluster."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from mlcli.compare import CompareRequest
from mlcli.compare.execution import run_cells
from mlcli.compare.executors import RayTasks
from mlcli.compare.matrix import plan_matrix
from mlcli.errors import MlcliError
from mlcli.experiment.plan import make_plan
from mlcli.train.report import QuietProgress
from mlcli.train.trainer import RunPaths, train

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


@pytest.fixture(autouse=True)
def disconnect():
    yield
    ray.shutdown()


def test_a_run_is_that_of_this_process_and_a_failure_keeps_its_reason(cluster, tmp_path):
    (tmp_path / "knn.yaml").write_text(NEIGHBOURS)
    request = CompareRequest(
        inputs=[str(tmp_path / "knn.yaml")],
        vary=[VARY],
        seeds="1",
        executor="ray",
        address=cluster,
        threads=1,
        quiet=True,
    )
    cells = plan_matrix(request, tmp_path / "runs")
    (good, failed), _ = run_cells(cells, request, tmp_path / "runs")
    test = train(make_plan(cells[0].config), RunPaths(tmp_path / "here"), 1, QuietProgress()).record.metrics["test"]
    assert good.reason is None
    assert [good.run.measurements[name] for name in ("accuracy", "loss")] == [test.accuracy, test.loss]
    assert failed.run is None
    assert "n_neighbors = 5000, n_samples_fit = 120" in failed.reason
    assert len(list((tmp_path / "runs").glob("*/metrics.json"))) == 2


def _connect(tmp_path, address, n_cpus):
    return RayTasks(CompareRequest(executor="ray", address=address, threads=n_cpus), tmp_path, "session")


def test_cells_that_fit_no_node_are_refused(cluster, tmp_path):
    assert _connect(tmp_path, cluster, n_cpus=1).n_slots == 2
    ray.shutdown()
    with pytest.raises(MlcliError, match="a cell needs 64 CPUs and 0 GPUs.*the largest has 2 CPUs"):
        _connect(tmp_path, cluster, n_cpus=64)


def test_a_missing_cluster_is_refused(tmp_path):
    with pytest.raises(MlcliError, match="no Ray cluster at 127.0.0.1:1"):
        _connect(tmp_path, "127.0.0.1:1", n_cpus=1)


def test_a_cluster_that_was_killed_is_refused(tmp_path, monkeypatch):
    """Ray keeps the address of the last cluster of this machine, and would try to connect for ten minutes."""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    with pytest.raises(MlcliError, match="no Ray cluster at 127.0.0.1:1.*\n.*ray start"):
        _connect(tmp_path, None, n_cpus=1)
