"""Runs on disk: the only code that knows file names."""

from __future__ import annotations

from mlcli.runs.directory import RunDirectory, utc_now
from mlcli.runs.find import default_runs_directory, find_finished, find_run, find_runs
from mlcli.runs.plain_json import to_json
from mlcli.runs.verified import VerifiedFiles

__all__ = [
    "RunDirectory",
    "VerifiedFiles",
    "default_runs_directory",
    "find_finished",
    "find_run",
    "find_runs",
    "to_json",
    "utc_now",
]
