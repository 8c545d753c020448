"""Run long fuzz, start-up and kill tests and simulations (`make soak`).

    python tests/soak/run.py [--only JOB ...] [--fuzz-seconds N] [--kills N] [--starts N]
                              [--simulations N] [--keep DIR]

Prints one line per job with the work done and the number of findings, then each finding with the command that
reproduces it. With findings, the exit code is 1 and the inputs and logs are kept; without, they are deleted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fuzz_child import TARGETS
from fuzzing import fuzz
from outcome import Outcome
from repeated_tests import run_tests
from simultaneous_starts import start_together


@dataclass(frozen=True)
class Effort:
    """The amount of work. keep: the folder for logs and for inputs that caused findings."""

    fuzz_seconds: int  # in total, divided among the targets
    n_kills: int
    n_starts: int
    n_simulations: int
    keep: Path


def _fuzzing(target: str) -> Callable[[Effort], Outcome]:
    return lambda effort: fuzz(target, max(1, effort.fuzz_seconds // len(TARGETS)), effort.keep)


def _simulations(file: str) -> Callable[[Effort], Outcome]:
    return lambda effort: run_tests(file, MLCLI_SOAK_REPEATS=str(effort.n_simulations))


# Maps the name of a job to its function. A new job is a row here.
JOBS: dict[str, Callable[[Effort], Outcome]] = {
    **{f"fuzz-{target}": _fuzzing(target) for target in TARGETS},
    "starts": lambda effort: start_together(effort.n_starts),
    "kills": lambda effort: run_tests("tests/robustness/test_kills.py", MLCLI_SOAK_KILLS=str(effort.n_kills)),
    **{
        name: _simulations(f"tests/compare/statistics/test_{name.replace('-', '_')}.py")
        for name in ("error-rates", "fold-error-rates")
    },
    "metric-error-rates": _simulations("tests/compare/statistics/test_scores.py"),
}


def main() -> int:
    arguments = _arguments()
    keep = Path(tempfile.mkdtemp(prefix="mlcli-soak-", dir=arguments.keep)).resolve()
    effort = Effort(arguments.fuzz_seconds, arguments.kills, arguments.starts, arguments.simulations, keep)
    findings = [finding for name in arguments.only or JOBS for finding in _run(name, effort)]
    for finding in findings:
        print(f"\n{finding}")
    if findings:
        print(f"\n{len(findings)} findings; inputs and logs are in {keep}")
    else:
        shutil.rmtree(keep)
    return 1 if findings else 0


def _run(name: str, effort: Effort) -> tuple[str, ...]:
    started = time.monotonic()
    outcome = JOBS[name](effort)
    seconds = time.monotonic() - started
    print(f"{name:<14} {outcome.done}; {seconds:,.0f} s, {len(outcome.findings)} findings", flush=True)
    return outcome.findings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", nargs="+", choices=JOBS, metavar="JOB", help=f"run only these jobs: {', '.join(JOBS)}"
    )
    parser.add_argument(
        "--fuzz-seconds",
        type=int,
        default=600,
        metavar="N",
        help="seconds of fuzzing in total, divided among the targets; default: 600",
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="number of runs to kill; default: 200")
    parser.add_argument(
        "--starts", type=int, default=50, metavar="N", help="number of processes to start simultaneously; default: 50"
    )
    parser.add_argument(
        "--simulations", type=int, default=1000, metavar="N", help="simulated comparisons per kind; default: 1000"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="existing folder in which to keep inputs and logs")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
