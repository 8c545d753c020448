"""What a soak job did and found."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """done: in figures. findings: what should never happen, each with what shows it again."""

    done: str
    findings: tuple[str, ...] = ()


def quiet_environment(**variables: str) -> dict[str, str]:
    """That of a child: one thread for every library, and nothing that the user set for mlcli."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MLCLI_")}
    return {**kept, **threads, **variables}


def last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1] if lines else "nothing was said"
