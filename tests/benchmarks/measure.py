"""Measure the contestants in rounds. Each round runs every contestant once, one after the other."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MINIMUM_ACCURACY = 0.75  # every contestant that does the work exceeds this after its first epoch
_PACKAGES = ("lightning", "skorch", "accelerate", "fastai")


@dataclass(frozen=True)
class Sample:
    """The measurement of one round of one contestant."""

    seconds: float
    peak_bytes: int | None = None
    accuracy: float | None = None


@dataclass
class Samples:
    """All rounds of one contestant. absent: why it cannot run (a package is missing). failure: its error message."""

    rounds: list[Sample] = field(default_factory=list)
    absent: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Workspace:
    """The directories and threads of the contestants.

    data: see fashion_files.working_copy; None if Fashion-MNIST was not found.
    """

    work: Path
    data: Path | None
    threads: int


class ContestantError(Exception):
    """A contestant failed. The message is the last line of its output."""


def missing_package(contestant: str) -> str | None:
    """Return the package that a contestant needs and that is not installed; None if it can run."""
    for package in _PACKAGES:
        if contestant == f"competitors:{package}_epochs" and importlib.util.find_spec(package) is None:
            return package
    return None


def measure(
    contestants: Sequence[str], workspace: Workspace, repeats: int, log: Callable[[str], None]
) -> dict[str, Samples]:
    """Run one warm-up round and `repeats` measured rounds of all contestants, and return the measurements by name."""
    samples = {name: Samples() for name in contestants}
    for name in contestants:
        package = missing_package(name)
        samples[name].absent = f"{package} is not installed" if package else None
    present = [name for name in contestants if not samples[name].absent]
    workers = _started_workers([name for name in present if ":" in name], workspace, samples)
    try:
        for number in range(repeats + 1):
            log(f"round {number} of {repeats}" if number else "warming up")
            for name in present:
                if not samples[name].failure:
                    _one_round(name, workers, workspace, samples[name], is_counted=number > 0)
    finally:
        for worker in set(workers.values()):
            worker.close()
    return samples


def _one_round(
    name: str, workers: dict[str, Worker], workspace: Workspace, samples: Samples, *, is_counted: bool
) -> None:
    try:
        sample = workers[name].one_round(name) if name in workers else one_process(_arguments(name, workspace))
        if is_counted:
            samples.rounds.append(sample)
        if sample.accuracy is not None and sample.accuracy < MINIMUM_ACCURACY:
            raise ContestantError(f"its accuracy is {sample.accuracy:.3f}: it does not do the required work")
    except ContestantError as error:
        samples.failure = str(error)


class Worker:
    """A process that runs worker.py. Frameworks influence each other, so each one gets a separate process."""

    def __init__(self, framework: str, names: Sequence[str], workspace: Workspace) -> None:
        arguments = [sys.executable, HERE / "worker.py", str(workspace.data), str(workspace.threads), framework, *names]
        self._log = workspace.work / f"{framework}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._answer()  # wait until the contestants are prepared

    def one_round(self, name: str) -> Sample:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ContestantError(self._last_error_line()) from None
        answer = self._answer()
        return Sample(seconds=answer["seconds"], accuracy=answer["accuracy"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(self._last_error_line())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_error_line(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text().strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def _started_workers(names: Sequence[str], workspace: Workspace, samples: dict[str, Samples]) -> dict[str, Worker]:
    """Start one worker for the contestants of each framework, and return the workers by contestant."""
    frameworks: dict[str, list[str]] = {}
    for name in names:
        frameworks.setdefault(_framework(name), []).append(name)
    workers = {}
    for framework, members in frameworks.items():
        try:
            worker = Worker(framework, members, workspace)
            workers |= dict.fromkeys(members, worker)
        except ContestantError as error:
            for name in members:
                samples[name].failure = str(error)
    return workers


def _framework(name: str) -> str:
    module, _, function = name.partition(":")
    if module == "competitors":
        return function.removesuffix("_epochs")
    if function == "logistic_fits" or module == "handwritten_sklearn":
        return "sklearn"
    return "keras" if "keras" in name else "torch"


def _arguments(name: str, workspace: Workspace) -> list[str]:
    """Return the command line of a contestant that is a whole process."""
    console_script = Path(sys.executable).with_name("mlcli")
    match name:
        case "mlcli --help":
            return [str(console_script), "--help"]
        case "bare.py --help":
            return [sys.executable, str(workspace.work / "bare.py"), "--help"]
        case "mlcli train":
            options = f"--backend torch --dataset fashion --epochs 1 --threads {workspace.threads} --quiet --offline"
            folders = ("--data-dir", str(workspace.data), "--runs-dir", str(workspace.work / "runs"))
            return [str(console_script), "train", *options.split(), *folders]
        case "mlcli train table" | "mlcli train table again":
            data_dir = workspace.work / ("tables" if name.endswith("again") else f"tables-{time.time_ns()}")
            options = (
                f"--target label --backend torch --epochs 1 --batch-size 128 --threads {workspace.threads} --quiet"
            )
            table, folders = workspace.work / "table.csv", ("--runs-dir", str(workspace.work / "runs"))
            return [
                str(console_script),
                *("train", "--data", str(table)),
                *options.split(),
                *("--set", "model.hidden=[32]", "--data-dir", str(data_dir), *folders),
            ]
        case "mlcli predict table":
            options = f"--force --threads {workspace.threads} --quiet"
            paths = ("--input", str(workspace.work / "table.csv"), "--output", str(workspace.work / "predicted.csv"))
            return [str(console_script), "predict", str(workspace.work / "table-run"), *paths, *options.split()]
        case "script_table.py" | "script_table_predict.py":
            return [sys.executable, str(HERE / name), str(workspace.work)]
        case "script_fashion.py":
            return [sys.executable, str(HERE / name), f"{workspace.data}/FashionMNIST/raw"]
    raise ValueError(f"unknown contestant: {name}")


def one_process(arguments: Sequence[str]) -> Sample:
    """Run a command, and return its duration and peak resident memory.

    The kernel reports at least the memory of the process that starts the command, so this process must stay small.
    """
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = usage.ru_utime + usage.ru_stime if os.environ.get("BENCH_CPU_TIME") else time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            errors.seek(0)
            lines = errors.read().strip().splitlines()
            raise ContestantError(lines[-1] if lines else f"exit code {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Sample(seconds, peak_bytes=usage.ru_maxrss * unit)


def imported_packages(arguments: Sequence[str]) -> set[str]:
    """Return the top-level packages that `mlcli` imports when it runs with these arguments."""
    command = [sys.executable, "-X", "importtime", "-m", "mlcli", *arguments]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    lines = result.stderr.splitlines()
    if result.returncode:
        raise ContestantError(lines[-1])
    modules = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    return {module.partition(".")[0] for module in modules}
