"""Runs on disk: the only code that knows the files of a run; the commands `mlcli runs list` and `mlcli runs show`."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

from mlcli.errors import UsageError, unknown_name
from mlcli.records import RunStatus, RunSummary
from mlcli.registry import backend_info

DEFAULT_RUNS_DIR = Path("runs")
SORT_KEYS = ("created", "accuracy", "loss", "time", "name", "backend", "dataset", "status")


@dataclass(frozen=True)
class RunQuery:
    """Which runs to list, and in which order; None admits everything. UsageError for a value that does not exist."""

    backend: str | None = None
    dataset: str | None = None
    status: str | None = None
    name: str | None = None  # a shell pattern, e.g. fashion*
    sort: str = "created"  # one of SORT_KEYS
    limit: int | None = None  # the most runs to list

    def __post_init__(self) -> None:
        if self.backend is not None:
            backend_info(self.backend)
        if self.status is not None and self.status not in get_args(RunStatus):
            raise UsageError(f"--status: {unknown_name('status', self.status, get_args(RunStatus))}")
        if self.sort not in SORT_KEYS:
            raise UsageError(f"--sort: {unknown_name('key', self.sort, SORT_KEYS)}")

    def admits(self, run: RunSummary) -> bool:
        """Return whether a run meets every condition."""
        return (
            self.backend in (None, run.backend)
            and self.dataset in (None, run.dataset)
            and self.status in (None, run.status)
            and (self.name is None or fnmatchcase(run.name, self.name))
        )


def run_list(query: RunQuery, directory: Path, output_format: str, *, quiet: bool) -> None:
    """Print the runs of a directory to stdout and, unless quiet, notes on those that are not listed to stderr."""
    from mlcli.rendering.console import checked_format, print_notes
    from mlcli.runs.find import list_runs
    from mlcli.runs.report import print_run_list

    checked_format(output_format)
    found = list_runs(directory, query)
    print_run_list(found.runs, f"Runs in {directory}", output_format)
    if not quiet:
        print_notes(found.notes(directory))


def run_show(run: str, runs_directory: Path, output_format: str) -> None:
    """Print one run with its history to stdout, whatever its status. run: a reference, see `runs.find.find_run`."""
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import find_run, inspect_run
    from mlcli.runs.report import print_one_run

    checked_format(output_format)
    directory = find_run(run, runs_directory)
    record, history = inspect_run(directory)
    print_one_run(record, directory.path, history, output_format)
