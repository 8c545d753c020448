"""Run tests of the suite with many repetitions, the number of which they read from the environment."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from outcome import Outcome, last_line, quiet_environment

_CHECKOUT = Path(__file__).resolve().parents[2]
_LONGEST_SECONDS = 4 * 3600


def run_tests(file: str, **variables: str) -> Outcome:
    """Run pytest on one file with these environment variables. A skipped test or an empty file is also a finding."""
    shown = " ".join(f"{name}={value}" for name, value in variables.items())
    command = [sys.executable, "-m", "pytest", "-x", file]
    try:
        process = subprocess.run(
            command, cwd=_CHECKOUT, env=quiet_environment(**variables), capture_output=True, text=True, check=False,
            timeout=_LONGEST_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Outcome(shown, (f"{shown} {' '.join(command)}\n  did not end in {_LONGEST_SECONDS / 3600:g} hours",))
    summary = last_line(process.stdout or process.stderr)
    if process.returncode == 0 and re.search(r"\d+ passed", summary) and "skipped" not in summary:
        return Outcome(f"{shown}, {summary}")
    output = (process.stdout + process.stderr).strip().splitlines()[-40:]
    return Outcome(f"{shown}, {summary}", ("\n  ".join([f"{shown} {' '.join(command)}", *output]),))
