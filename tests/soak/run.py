"""`make soak`: what must never happen, sought for long.

    python tests/soak/run.py [--only JOB ...] [--fuzz-seconds N] [--kills N] [--starts N] [--keep DIR]

One line a job: what was done, and how often it went wrong. What went wrong follows with what shows it again, and the
exit code is 1. Without findings nothing is kept.
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
    """How much to do. keep: where inputs go that were not taken well."""

    fuzz_seconds: int  # of all targets together
    n_kills: int
    n_starts: int
    keep: Path


def _fuzzing(target: str) -> Callable[[Effort], Outcome]:
    return lambda effort: fuzz(target, max(1, effort.fuzz_seconds // len(TARGETS)), effort.keep)


# A job is a row here: what it is called, and a function of the effort.
JOBS: dict[str, Callable[[Effort], Outcome]] = {
    **{f"fuzz-{target}": _fuzzing(target) for target in TARGETS},
    "starts": lambda effort: start_together(effort.n_starts),
    "kills": lambda effort: run_tests("tests/robustness/test_kills.py", MLCLI_SOAK_KILLS=str(effort.n_kills)),
}


def main() -> int:
    arguments = _arguments()
    keep = Path(tempfile.mkdtemp(prefix="mlcli-soak-", dir=arguments.keep)).resolve()
    effort = Effort(arguments.fuzz_seconds, arguments.kills, arguments.starts, keep)
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
    parser.add_argument("--only", nargs="+", choices=JOBS, metavar="JOB", help=f"some of {', '.join(JOBS)}")
    parser.add_argument(
        "--fuzz-seconds", type=int, default=600, metavar="N", help="of fuzzing, all targets together; default 600"
    )
    parser.add_argument("--kills", type=int, default=200, metavar="N", help="runs that are killed; default 200")
    parser.add_argument("--starts", type=int, default=50, metavar="N", help="processes at once; default 50")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="an existing folder to keep inputs and logs in")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
