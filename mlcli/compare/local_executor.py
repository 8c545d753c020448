"""Cells as processes on this machine."""

from __future__ import annotations

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from mlcli.compare import CompareRequest
from mlcli.compare.cells import EXPERIMENT, LOG, RESULT
from mlcli.config.experiment import OTHER_VARIABLES, PREFIX
from mlcli.errors import UsageError

_GRACE_SECONDS = 10.0  # for a cell that was told to stop, to write its checkpoint


class LocalProcesses:
    """An executor that starts `python -m mlcli train` for each cell, from any thread."""

    def __init__(self, request: CompareRequest, runs_directory: Path) -> None:
        self.n_slots = request.jobs
        self._command = train_command(runs_directory, request.data_dir, offline=request.offline)
        self._has_gpus = request.gpus  # each cell gets one; otherwise every cell sees every device
        self._free_gpus: queue.SimpleQueue[str] = queue.SimpleQueue()
        for gpu in visible_gpus() if request.gpus else ():
            self._free_gpus.put(gpu)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False
        self._guard = threading.Lock()

    def run(self, folder: Path, lock: int | None, stopped: Path | None) -> int | None:
        """See Executor."""
        arguments = ["--resume", str(stopped)] if stopped else [str(folder / EXPERIMENT)]
        with self._gpu() as variables, (folder / RESULT).open("wb") as result, (folder / LOG).open("wb") as log:
            with self._guard:
                if self._is_stopping:
                    return None
                process = subprocess.Popen(
                    [*self._command, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=result,
                    stderr=log,
                    env={**cell_environment(), **variables},
                    pass_fds=() if lock is None else (lock,),
                )
                self._processes.add(process)
            code = process.wait()
        with self._guard:
            self._processes.discard(process)
        return code

    @contextlib.contextmanager
    def _gpu(self) -> Iterator[dict[str, str]]:
        """Reserve a GPU, and yield the environment variable that selects it."""
        if not self._has_gpus:
            yield {}
            return
        gpu = self._free_gpus.get()
        try:
            yield {"CUDA_VISIBLE_DEVICES": gpu}
        finally:
            self._free_gpus.put(gpu)

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


def train_command(runs_directory: Path, data_directory: Path | None, *, offline: bool) -> list[str]:
    """Return the command that trains a cell; its configuration, or the run to resume, is still to be added."""
    command = [sys.executable, "-m", "mlcli", "train", "--runs-dir", str(runs_directory), "--format", "json"]
    command += ["--data-dir", str(data_directory)] if data_directory else []
    return command + (["--offline"] if offline else [])


def cell_environment() -> dict[str, str]:
    """Return the environment without the variables that change an experiment: its file alone defines a cell."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name in OTHER_VARIABLES}


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
