"""Cells as tasks of an existing Ray cluster.

Every node needs mlcli. A task trains in a temporary folder, with the data directory of its node unless one is given,
and returns its run directory. Ray decides when and where a task runs. Nothing is retried, because that would hide why a
cell failed.
"""

from __future__ import annotations

import io
import logging
import os
import socket
import subprocess
import tarfile
import tempfile
import threading
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlcli.compare import CompareRequest
from mlcli.compare.cells import EXPERIMENT, LOG, RESULT
from mlcli.compare.local_executor import cell_environment, train_command
from mlcli.errors import MlcliError, UsageError

_CONNECT_SECONDS = 10.0  # within which a running cluster accepts a connection


@dataclass(frozen=True)
class TaskRequest:
    """What a node receives to train a cell; it shares no files with the machine that runs compare."""

    experiment: str
    data_directory: Path | None
    offline: bool


@dataclass(frozen=True)
class TaskResult:
    """What a node returns. run: the run directory as a tar file; None if the run left none."""

    exit_code: int
    result: bytes
    log: bytes
    run: bytes | None


class RayTasks:
    """An executor that runs each cell as a task of a Ray cluster, from any thread."""

    def __init__(self, request: CompareRequest, runs_directory: Path) -> None:
        """Connect to the cluster; UsageError without Ray, MlcliError for a cluster that is missing or too small."""
        if find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray, which is not installed\npip install 'mlcli[ray]'")
        import ray

        _check_reachable(request.address)
        self._ray: Any = ray
        self._runs_directory = runs_directory
        self._request = request
        self._is_stopping = False
        self._tasks: set[Any] = set()
        self._guard = threading.Lock()
        try:
            ray.init(address=request.address or "auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(request.address, str(error).splitlines()[0]) from error
        n_cpus, n_gpus = request.threads or 1, int(request.gpus)
        self.n_slots = self._checked_slots(n_cpus, n_gpus)
        self._task = ray.remote(max_retries=0, num_cpus=n_cpus, num_gpus=n_gpus)(train_here)

    def _checked_slots(self, n_cpus: int, n_gpus: int) -> int:
        """Return how many cells fit on the cluster at a time; MlcliError if none does, since it would wait forever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        slots = sum(
            min([int(node.get("CPU", 0) // n_cpus), *([int(node.get("GPU", 0) // n_gpus)] if n_gpus else [])])
            for node in nodes
        )
        if slots == 0:
            largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            raise MlcliError(
                f"--executor ray: a cell needs {n_cpus} CPUs and {n_gpus} GPUs, but no node of the cluster has them "
                f"(the largest has {largest} CPUs)\nreduce the CPUs of a cell with --threads"
            )
        return slots

    def run(self, folder: Path, lock: int | None, stopped: Path | None) -> int | None:
        """See Executor. A stopped task leaves no checkpoint on its node, so every cell starts from the beginning."""
        experiment = (folder / EXPERIMENT).read_text(encoding="utf-8")
        request = TaskRequest(experiment, self._request.data_dir, self._request.offline)
        with self._guard:
            if self._is_stopping:
                return None
            task = self._task.remote(request)
            self._tasks.add(task)
        try:
            result: TaskResult = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            (folder / LOG).write_text(f"mlcli: Ray: {str(error).strip().splitlines()[-1]}\n", encoding="utf-8")
            return None if self._is_stopping else 1
        finally:
            with self._guard:
                self._tasks.discard(task)
        (folder / RESULT).write_bytes(result.result)
        (folder / LOG).write_bytes(result.log)
        if result.run is not None:
            _unpack(result.run, self._runs_directory)
        return result.exit_code

    def stop(self) -> None:
        """See Executor."""
        with self._guard:
            self._is_stopping = True
            tasks = list(self._tasks)
        for task in tasks:
            self._ray.cancel(task, force=True)


def _check_reachable(address: str | None) -> None:
    """MlcliError if the address does not answer; Ray itself would retry for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from error


def _no_cluster(address: str | None, reason: str) -> MlcliError:
    return MlcliError(
        f"--executor ray: no Ray cluster at {address or 'the default address'}: {reason}\n"
        "start one on this machine with `ray start --head`, or name another with --address"
    )


def train_here(request: TaskRequest) -> TaskResult:
    """Train a cell on this node, in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="mlcli-cell-") as name:
        folder = Path(name)
        experiment = folder / EXPERIMENT
        experiment.write_text(request.experiment, encoding="utf-8")
        command = train_command(folder / "runs", request.data_directory, offline=request.offline)
        process = subprocess.run(
            [*command, str(experiment)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=cell_environment(),
        )
        run = next((folder / "runs").iterdir(), None) if (folder / "runs").is_dir() else None
        return TaskResult(process.returncode, process.stdout, process.stderr, _packed(run) if run else None)


def _packed(directory: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(directory, directory.name)
    return data.getvalue()


def _unpack(data: bytes, runs_directory: Path) -> None:
    """Add a run directory to the others, complete or not at all."""
    runs_directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".arriving-", dir=runs_directory) as name:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(name, filter="data")
        for directory in Path(name).iterdir():
            os.replace(directory, runs_directory / directory.name)
