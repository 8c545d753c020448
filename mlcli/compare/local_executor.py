"""Cells as processes on this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from mlcli.compare.cells import EXPERIMENT, LOG, RESULT
from mlcli.config.overrides import OTHER_VARIABLES, PREFIX
from mlcli.errors import UsageError

_GRACE_SECONDS = 10.0  # for a cell that is told to stop, to write down how far it came


class LocalProcesses:
    """An executor that starts `python -m mlcli train` for each cell, from any thread."""

    def __init__(self, runs_directory: Path, data_directory: Path | None, *, offline: bool) -> None:
        self._command = train_command(runs_directory, data_directory, offline=offline)
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._is_stopping = False
        self._guard = threading.Lock()

    def run(self, folder: Path, environment: Mapping[str, str], lock: int | None, stopped: Path | None) -> int | None:
        """See Executor."""
        what = ["--resume", str(stopped)] if stopped else [str(folder / EXPERIMENT)]
        with (folder / RESULT).open("wb") as result, (folder / LOG).open("wb") as log:
            process = self._started(what, (result, log), environment, lock)
            if process is None:
                return None
            code = process.wait()
        with self._guard:
            self._processes.discard(process)
        return code

    def _started(
        self, what: list[str], streams: tuple[IO[bytes], IO[bytes]], environment: Mapping[str, str], lock: int | None
    ) -> subprocess.Popen[bytes] | None:
        with self._guard:
            if self._is_stopping:
                return None
            process = subprocess.Popen(
                [*self._command, *what],
                stdin=subprocess.DEVNULL,
                stdout=streams[0],
                stderr=streams[1],
                env={**own_environment(), **environment},
                pass_fds=() if lock is None else (lock,),
            )
            self._processes.add(process)
        return process

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
    """The command that runs a cell, but for what is run, which comes last."""
    command = [sys.executable, "-m", "mlcli", "train", "--runs-dir", str(runs_directory), "--format", "json"]
    command += ["--data-dir", str(data_directory)] if data_directory else []
    return command + (["--offline"] if offline else [])


def own_environment() -> dict[str, str]:
    """The environment without settings of experiments: what a cell is, its file says."""
    return {name: value for name, value in os.environ.items() if not name.startswith(PREFIX) or name in OTHER_VARIABLES}


def visible_gpus() -> tuple[str, ...]:
    """Found without loading a framework: those of CUDA_VISIBLE_DEVICES, else all that the driver names.

    UsageError where there are none.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        devices = tuple(device.strip() for device in given.split(",") if device.strip() and device.strip() != "-1")
    else:
        devices = tuple(str(number) for number, _ in enumerate(sorted(Path("/proc/driver/nvidia/gpus").glob("*"))))
    if not devices:
        raise UsageError("--gpus: there is no CUDA device here; leave the flag away to run on the CPU")
    return devices
