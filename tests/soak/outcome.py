"""The outcome of a soak job, and functions that several jobs use."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """The outcome of a soak job. done: a summary of the work. findings: the failures and how to reproduce them."""

    done: str
    findings: tuple[str, ...] = ()


def quiet_environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child process: one thread per library, and no MLCLI_ variables of the user."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLCLI_")}
    return {**kept, **threads, **variables}


def last_line(text: str) -> str:
    """Return the last line of the output of a process."""
    lines = text.strip().splitlines()
    return lines[-1] if lines else "no output"
