"""Rounds: every contestant once, one after the other, again and again."""

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
from typing import Any, Protocol

HERE = Path(__file__).resolve().parent
LEAST_ACCURACY = 0.75  # what every contestant passes in its first epoch, if it does the work
_PACKAGES = ("lightning", "skorch", "accelerate", "fastai")


@dataclass(frozen=True)
class Sample:
    """One round of one contestant."""

    seconds: float
    peak_bytes: int | None = None
    accuracy: float | None = None


@dataclass
class Samples:
    """All rounds of one contestant. absent: not installed, in words; failure: what broke."""

    rounds: list[Sample] = field(default_factory=list)
    absent: str | None = None
    failure: str | None = None


@dataclass(frozen=True)
class Place:
    """Where the contestants work. data: see fashion_files.working_copy, None where there is no Fashion-MNIST."""

    work: Path
    data: Path | None
    threads: int


class ContestantError(Exception):
    """A contestant broke; the message is the last thing it said."""


class Runner(Protocol):
    def one_round(self) -> Sample: ...


def missing_package(contestant: str) -> str | None:
    """The package that a contestant needs and that is not installed."""
    for package in _PACKAGES:
        if contestant == f"competitors:{package}_epochs" and importlib.util.find_spec(package) is None:
            return package
    return None


def measure(contestants: Sequence[str], place: Place, repeats: int, say: Callable[[str], None]) -> dict[str, Samples]:
    """One round to warm up and `repeats` that count, for all contestants in turn."""
    samples = {name: Samples() for name in contestants}
    for name in contestants:
        package = missing_package(name)
        samples[name].absent = f"{package} is not installed" if package else None
    present = [name for name in contestants if not samples[name].absent]
    workers = _started_workers([name for name in present if ":" in name], place, samples)
    try:
        for number in range(repeats + 1):
            say(f"round {number} of {repeats}" if number else "warming up")
            for name in present:
                if not samples[name].failure:
                    _one_round(name, workers, place, samples[name], is_counted=number > 0)
    finally:
        for worker in set(workers.values()):
            worker.close()
    return samples


def _one_round(name: str, workers: dict[str, Worker], place: Place, samples: Samples, *, is_counted: bool) -> None:
    try:
        sample = workers[name].one_round(name) if name in workers else one_process(_arguments(name, place))
        if is_counted:
            samples.rounds.append(sample)
        if sample.accuracy is not None and sample.accuracy < LEAST_ACCURACY:
            raise ContestantError(f"its accuracy is {sample.accuracy:.3f}: it does not do the work")
    except ContestantError as error:
        samples.failure = str(error)


class Worker:
    """A process of worker.py. Frameworks disturb each other, so each has a process of its own."""

    def __init__(self, framework: str, names: Sequence[str], place: Place) -> None:
        arguments = [sys.executable, HERE / "worker.py", str(place.data), str(place.threads), framework, *names]
        self._log = place.work / f"{framework}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        self._answer()  # that it is ready

    def one_round(self, name: str) -> Sample:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{name}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise ContestantError(self._last_words()) from None
        answer = self._answer()
        return Sample(seconds=answer["seconds"], accuracy=answer["accuracy"])

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _last_words(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text().strip().splitlines()
        return lines[-1] if lines else f"exit code {code}"

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def _started_workers(names: Sequence[str], place: Place, samples: dict[str, Samples]) -> dict[str, Worker]:
    """One worker for the contestants of each framework, by contestant."""
    frameworks: dict[str, list[str]] = {}
    for name in names:
        frameworks.setdefault(_framework(name), []).append(name)
    workers = {}
    for framework, members in frameworks.items():
        try:
            worker = Worker(framework, members, place)
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


def _arguments(name: str, place: Place) -> list[str]:
    """The command line of a contestant that is a whole process."""
    console_script = Path(sys.executable).with_name("mlcli")
    match name:
        case "mlcli --help":
            return [str(console_script), "--help"]
        case "bare.py --help":
            return [sys.executable, str(place.work / "bare.py"), "--help"]
        case "mlcli train":
            options = f"--backend torch --dataset fashion --epochs 1 --threads {place.threads} --quiet --offline"
            folders = ("--data-dir", str(place.data), "--runs-dir", str(place.work / "runs"))
            return [str(console_script), "train", *options.split(), *folders]
        case "script_fashion.py":
            return [sys.executable, str(HERE / name), f"{place.data}/FashionMNIST/raw"]
    raise ValueError(f"no contestant is called {name}")


def one_process(arguments: Sequence[str]) -> Sample:
    """Run a command to its end: seconds, and the most memory it had resident.

    The kernel counts the memory of the process that starts it too, until its own is larger: this one stays small.
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
    """The top-level packages that `mlcli` with these arguments imports."""
    command = [sys.executable, "-X", "importtime", "-m", "mlcli", *arguments]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    lines = result.stderr.splitlines()
    if result.returncode:
        raise ContestantError(lines[-1])
    modules = [line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")]
    return {module.partition(".")[0] for module in modules}
