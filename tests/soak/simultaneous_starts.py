"""Start many `mlcli train` processes at once in one runs directory. Each must finish in a separate run directory."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from outcome import Outcome, last_line, quiet_environment

from mlcli.errors import MlcliError
from mlcli.experiment.stored_run import open_run
from mlcli.runs.find import find_run

_COMMAND = ("train", "--backend", "sklearn", "--dataset", "iris", "--model", "logistic", "--threads", "1")
_LONGEST_SECONDS = 900


def start_together(n_processes: int) -> Outcome:
    """Start the processes, wait for them and check their run directories."""
    with tempfile.TemporaryDirectory(prefix="mlcli-starts-") as folder:
        runs_directory = Path(folder) / "runs"
        options = ("--runs-dir", str(runs_directory), "--format", "json", "--quiet")
        processes = [_start([*_COMMAND, *options]) for _ in range(n_processes)]
        results = _results(processes)
        findings = [f"exit code {code}: {last_line(stderr)}" for code, _, stderr in results if code != 0]
        reported = Counter(_reported_directory(stdout) for code, stdout, _ in results if code == 0)
        findings += [
            f"{count} processes reported the run directory {name}" for name, count in reported.items() if count > 1
        ]
        present = {path.name for path in runs_directory.iterdir()} if runs_directory.is_dir() else set()
        findings += [f"{name}: directory that no process reported" for name in sorted(present - set(reported))]
        findings += [
            f"{name}: reported as a run directory, but does not exist" for name in sorted(set(reported) - present)
        ]
        findings += [problem for name in sorted(present) if (problem := _problem(name, runs_directory))]
    n_finished = len(present) - sum(name in finding for name in present for finding in findings)
    return Outcome(f"{n_processes} processes, {n_finished} finished runs in separate directories", tuple(findings))


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlcli", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=quiet_environment(),
    )  # fmt: skip


def _results(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Return exit code, stdout and stderr of each process. Kills processes that exceed the time limit."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    results = []
    for process in processes:
        try:
            stdout, stderr = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            stdout, stderr = process.communicate()
        results.append((process.returncode, stdout, stderr))
    return results


def _reported_directory(stdout: str) -> str:
    return Path(json.loads(stdout)["directory"]).name


def _problem(name: str, runs_directory: Path) -> str | None:
    """Return why a directory is not a complete, finished run; None if it is."""
    try:
        run = open_run(find_run(name, runs_directory))
        run.weights()
        run.files.predictions()
    except MlcliError as error:
        return f"{name}: {error}"
    parts = [path.name for path in run.path.rglob("*") if path.name.endswith(".part")]
    return f"{name}: left {', '.join(parts)}" if parts else None
