"""Many `mlcli train` at the same moment into one runs directory: each has a directory of its own, and finishes."""

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
    with tempfile.TemporaryDirectory(prefix="mlcli-starts-") as folder:
        runs_directory = Path(folder) / "runs"
        options = ("--runs-dir", str(runs_directory), "--format", "json", "--quiet")
        processes = [_start([*_COMMAND, *options]) for _ in range(n_processes)]
        results = _results(processes)
        findings = [f"exit code {code}: {last_line(said)}" for code, _, said in results if code != 0]
        stated = Counter(_stated_directory(shown) for code, shown, _ in results if code == 0)
        findings += [f"{count} processes say that their run is {name}" for name, count in stated.items() if count > 1]
        present = {path.name for path in runs_directory.iterdir()} if runs_directory.is_dir() else set()
        findings += [f"{name}: nobody says that this is a run" for name in sorted(present - set(stated))]
        findings += [f"{name}: said to be a run, and is not there" for name in sorted(set(stated) - present)]
        findings += [fault for name in sorted(present) if (fault := _fault(name, runs_directory))]
    n_finished = len(present) - sum(name in finding for name in present for finding in findings)
    return Outcome(f"{n_processes} processes, {n_finished} finished runs in directories of their own", tuple(findings))


def _start(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlcli", *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=quiet_environment(),
    )  # fmt: skip


def _results(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """Exit code, stdout and stderr of each; those that never end are killed."""
    deadline = time.monotonic() + _LONGEST_SECONDS
    results = []
    for process in processes:
        try:
            shown, said = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            shown, said = process.communicate()
        results.append((process.returncode, shown, said))
    return results


def _stated_directory(shown: str) -> str:
    return Path(json.loads(shown)["directory"]).name


def _fault(name: str, runs_directory: Path) -> str | None:
    """Why a directory is no whole, finished run; None where it is."""
    try:
        run = open_run(find_run(name, runs_directory))
        run.weights()
        run.files.predictions()
    except MlcliError as error:
        return f"{name}: {error}"
    parts = [path.name for path in run.path.rglob("*") if path.name.endswith(".part")]
    return f"{name}: left {', '.join(parts)}" if parts else None
