"""Cells as tasks of an existing Ray cluster.

Every node needs mlcli. A task trains in a folder of its own, with the node's own data directory unless one is given,
and hands its run directory back. Ray decides where a task runs and when; nothing is retried, because a cell that
fails has a reason that a repeat would hide.
"""

from __future__ import annotations

import io
import os
import socket
import subprocess
import tarfile
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlcli.compare.cells import EXPERIMENT, LOG, RESULT
from mlcli.compare.local_executor import own_environment, train_command
from mlcli.errors import MlcliError, UsageError

_ANSWER_SECONDS = 10.0  # within which a cluster that is there accepts a connection


@dataclass(frozen=True)
class TaskRequest:
    """What a node is told: everything, since it shares no files with the compare."""

    experiment: str
    data_directory: Path | None
    offline: bool


@dataclass(frozen=True)
class TaskResult:
    """What a node hands back. run: the run directory as a tar file; None where there is none."""

    exit_code: int
    result: bytes
    log: bytes
    run: bytes | None


class RayTasks:
    """An executor that runs each cell as a task of a Ray cluster, from any thread."""

    def __init__(
        self,
        runs_directory: Path,
        data_directory: Path | None,
        *,
        offline: bool,
        address: str | None,
        n_cpus: int,
        n_gpus: int,
    ) -> None:
        """Connect; UsageError where Ray is not installed, MlcliError where there is no cluster or it is too small."""
        if find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray, which is not installed\npip install 'mlcli[ray]'")
        import ray

        _check_reachable(address)
        self._ray: Any = ray
        self._runs_directory = runs_directory
        self._data_directory = data_directory
        self._offline = offline
        self._is_stopping = False
        self._tasks: set[Any] = set()
        self._guard = threading.Lock()
        try:
            ray.init(address=address or "auto", log_to_driver=False, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(address, str(error).splitlines()[0]) from error
        self.n_slots = self._checked_slots(n_cpus, n_gpus)
        self._task = ray.remote(max_retries=0, num_cpus=n_cpus, num_gpus=n_gpus)(train_here)

    def _checked_slots(self, n_cpus: int, n_gpus: int) -> int:
        """How many cells the cluster can hold at once; MlcliError where that is none, instead of waiting for ever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        slots = sum(
            min([int(node.get("CPU", 0) // n_cpus), *([int(node.get("GPU", 0) // n_gpus)] if n_gpus else [])])
            for node in nodes
        )
        if slots == 0:
            largest = max((int(node.get("CPU", 0)) for node in nodes), default=0)
            raise MlcliError(
                f"--executor ray: a cell takes {n_cpus} CPUs and {n_gpus} GPUs, and no node of the cluster has them "
                f"(the largest has {largest} CPUs)\nask for less with --threads"
            )
        return slots

    def run(self, folder: Path, environment: Mapping[str, str], lock: int | None, stopped: Path | None) -> int | None:
        """See Executor. A task that was killed left nothing on its node, so every cell begins anew."""
        request = TaskRequest((folder / EXPERIMENT).read_text(encoding="utf-8"), self._data_directory, self._offline)
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
    """MlcliError where nothing answers at the address; Ray itself would try for minutes."""
    host, _, port = (address or "").removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise _no_cluster(address, error.strerror or str(error)) from error


def _no_cluster(address: str | None, reason: str) -> MlcliError:
    return MlcliError(
        f"--executor ray: no Ray cluster at {address or 'the usual address'}: {reason}\n"
        "ray start --head starts one on this machine; --address names another"
    )


def train_here(request: TaskRequest) -> TaskResult:
    """Train a cell on this node, in a folder that is removed afterwards."""
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
            env=own_environment(),
        )
        runs = list((folder / "runs").iterdir()) if (folder / "runs").is_dir() else []
        packed = _packed(runs[0]) if runs else None
        return TaskResult(process.returncode, process.stdout, process.stderr, packed)


def _packed(directory: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        archive.add(directory, directory.name)
    return data.getvalue()


def _unpack(data: bytes, runs_directory: Path) -> None:
    """Put a run directory among the others, whole or not at all."""
    runs_directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".arriving-", dir=runs_directory) as name:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(name, filter="data")
        for directory in Path(name).iterdir():
            os.replace(directory, runs_directory / directory.name)
