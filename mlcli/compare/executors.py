"""Where the processes of cells run: on this machine, or as tasks of an existing Ray cluster.

Every node of the cluster needs mlcli. A task trains in a temporary folder, with the data directory of its node unless
one is given, and returns its run directory. Ray decides when and where a task runs. Nothing is retried, because that
would hide why a cell failed.
"""

from __future__ import annotations

import io
import logging
import os
import queue
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mlcli.compare import CompareRequest
from mlcli.compare.cells import EXPERIMENT, LOG, RESULT
from mlcli.config.experiment import OTHER_VARIABLES, PREFIX
from mlcli.errors import MlcliError, UsageError
from mlcli.experiment.session import session_variables

_GRACE_SECONDS = 10.0  # for a cell that was told to stop, to write its checkpoint
_CONNECT_SECONDS = 10.0  # within which a running cluster accepts a connection


class LocalProcesses:
    """An executor that starts `python -m mlcli train` for each cell, from any thread."""

    def __init__(self, request: CompareRequest, runs_directory: Path, session: str) -> None:
        self.n_slots = request.jobs
        self._environment = _cell_environment(session, self.n_slots)
        self._command = _train_command(runs_directory, request.data_dir, offline=request.offline)
        # The environment variables of each slot: with --gpus its own device, otherwise every cell sees every device.
        self._free_slots: queue.SimpleQueue[dict[str, str]] = queue.SimpleQueue()
        devices = [{"CUDA_VISIBLE_DEVICES": gpu} for gpu in visible_gpus()] if request.gpus else [{}] * request.jobs
        for variables in devices:
            self._free_slots.put(variables)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False
        self._guard = threading.Lock()

    def run(self, folder: Path, lock: int | None, stopped: Path | None) -> int | None:
        """See Executor."""
        arguments = ["--resume", str(stopped)] if stopped else [str(folder / EXPERIMENT)]
        variables = self._free_slots.get()
        try:
            with (folder / RESULT).open("wb") as result, (folder / LOG).open("wb") as log:
                with self._guard:
                    if self._is_stopping:
                        return None
                    process = subprocess.Popen(
                        [*self._command, *arguments],
                        stdin=subprocess.DEVNULL,
                        stdout=result,
                        stderr=log,
                        env={**self._environment, **variables},
                        pass_fds=() if lock is None else (lock,),
                    )
                    self._processes.add(process)
                code = process.wait()
        finally:
            self._free_slots.put(variables)
        with self._guard:
            self._processes.discard(process)
        return code

    def stop(self) -> None:
        """See Executor."""
        with self._guard:
            self._is_stopping = True
            processes = list(self._processes)
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(_GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def visible_gpus() -> tuple[str, ...]:
    """Return the devices of CUDA_VISIBLE_DEVICES, else all that the driver lists. Loads no framework.

    UsageError if there are none.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        devices = tuple(device.strip() for device in given.split(",") if device.strip() and device.strip() != "-1")
    else:
        devices = tuple(str(number) for number, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*"))))
    if not devices:
        raise UsageError("--gpus: no CUDA device found; omit the flag to run on the CPU")
    return devices


def _train_command(runs_directory: Path, data_directory: Path | None, *, offline: bool) -> list[str]:
    """Return the command that trains a cell; its configuration, or the run to resume, is still to be added."""
    command = [sys.executable, "-m", "mlcli", "train", "--runs-dir", str(runs_directory), "--format", "json"]
    command += ["--data-dir", str(data_directory)] if data_directory else []
    return command + (["--offline"] if offline else [])


def _cell_environment(session: str, n_parallel: int) -> dict[str, str]:
    """Return the environment without the variables that change an experiment: its file alone defines a cell."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name in OTHER_VARIABLES}
    return kept | session_variables(session, n_parallel)


class RayTasks:
    """An executor that runs each cell as a task of a Ray cluster, from any thread."""

    def __init__(self, request: CompareRequest, runs_directory: Path, session: str) -> None:
        """Connect to the cluster; UsageError without Ray, MlcliError for a cluster that is missing or too small."""
        if find_spec("ray") is None:
            raise UsageError("--executor ray needs Ray, which is not installed\npip install 'mlcli[ray]'")
        import ray

        address = request.address or _default_address()
        _check_reachable(address)
        self._ray: Any = ray
        self._runs_directory = runs_directory
        self._session = session
        self._data_directory, self._is_offline = request.data_dir, request.offline
        self._is_stopping = False
        self._tasks: set[Any] = set()
        self._guard = threading.Lock()
        try:
            ray.init(address=request.address or "auto", log_to_driver=False, logging_level=logging.ERROR)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise _no_cluster(address, str(error).splitlines()[0]) from error
        n_cpus, n_gpus = request.threads or 1, int(request.gpus)
        self.n_slots = self._checked_slots(n_cpus, n_gpus)
        self._task = self._ray.remote(max_retries=0, num_cpus=n_cpus, num_gpus=n_gpus)(_train_here)

    def _checked_slots(self, n_cpus: int, n_gpus: int) -> int:
        """Return how many cells fit on the cluster at a time; MlcliError if none does, since it would wait forever."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        needed = {"CPU": n_cpus, "GPU": n_gpus} if n_gpus else {"CPU": n_cpus}
        slots = sum(min(int(node.get(kind, 0) // number) for kind, number in needed.items()) for node in nodes)
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
        with self._guard:
            if self._is_stopping:
                return None
            task = self._task.remote(
                experiment, self._data_directory, self._session, self.n_slots, offline=self._is_offline
            )
            self._tasks.add(task)
        try:
            process, run = self._ray.get(task)
        except self._ray.exceptions.RayError as error:
            (folder / LOG).write_text(f"mlcli: Ray: {str(error).strip().splitlines()[-1]}\n", encoding="utf-8")
            return None if self._is_stopping else 1
        finally:
            with self._guard:
                self._tasks.discard(task)
        (folder / RESULT).write_bytes(process.stdout)
        (folder / LOG).write_bytes(process.stderr)
        if run is not None:
            _unpack(run, self._runs_directory)
        return int(process.returncode)

    def stop(self) -> None:
        """See Executor."""
        with self._guard:
            self._is_stopping = True
            tasks = list(self._tasks)
        for task in tasks:
            self._ray.cancel(task, force=True)


def _default_address() -> str | None:
    """Return the address of the cluster that Ray would choose, which may no longer run; None if it knows none.

    `ray start` leaves it in a file, which outlives the cluster.
    """
    file = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()) / "ray" / "ray_current_cluster"
    return os.environ.get("RAY_ADDRESS") or (file.read_text(encoding="utf-8").strip() if file.is_file() else None)


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


def _train_here(
    experiment: str, data_directory: Path | None, session: str, n_parallel: int, *, offline: bool
) -> tuple[subprocess.CompletedProcess[bytes], bytes | None]:
    """Train a cell on this node, in a temporary folder.

    Returns the process and its run directory as a tar file; None if it left no run.
    """
    with tempfile.TemporaryDirectory(prefix="mlcli-cell-") as name:
        folder = Path(name)
        (folder / EXPERIMENT).write_text(experiment, encoding="utf-8")
        command = _train_command(folder / "runs", data_directory, offline=offline)
        process = subprocess.run(
            [*command, str(folder / EXPERIMENT)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            env=_cell_environment(session, n_parallel),
        )
        run = next((folder / "runs").glob("*"), None)
        if run is None:
            return process, None
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            archive.add(run, run.name)
        return process, data.getvalue()


def _unpack(data: bytes, runs_directory: Path) -> None:
    """Add a run directory to the others, complete or not at all."""
    runs_directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".arriving-", dir=runs_directory) as name:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.extractall(name, filter="data")
        for directory in Path(name).iterdir():
            os.replace(directory, runs_directory / directory.name)
