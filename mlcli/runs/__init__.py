"""Runs on disk: the only code that knows the files of a run. Also the commands `mlcli runs list` and `mlcli runs show`.

This module imports nothing heavy, so that `mlcli --help` can import it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Key of `runs list --sort` to the order in which it lists.
SORT_ORDERS = {
    "created": "newest first",
    "accuracy": "best first",
    "loss": "best first",
    "time": "fastest first",
    "name": "alphabetical",
    "backend": "alphabetical",
    "dataset": "alphabetical",
    "status": "alphabetical",
}


@dataclass(frozen=True)
class ListRequest:
    """What `mlcli runs list` is asked for; None of the first four admits every run."""

    backend: str | None = None
    dataset: str | None = None
    status: str | None = None
    name: str | None = None  # a shell pattern, e.g. fashion*
    sort: str = "created"  # a key of SORT_ORDERS
    limit: int | None = None  # the most runs to list; None for all
    runs_directory: Path | None = None
    output_format: str = "table"


def run_list(request: ListRequest) -> None:
    """Print the runs of a directory, and notes on those that are not listed."""
    from mlcli.runs.report import print_found_runs

    print_found_runs(request)


@dataclass(frozen=True)
class ShowRequest:
    """What `mlcli runs show` is asked for."""

    run: str  # a directory, a run id, a unique prefix of one, or last
    runs_directory: Path | None = None
    output_format: str = "table"


def run_show(request: ShowRequest) -> None:
    """Print one run with its history, whatever its status."""
    from mlcli.runs.report import print_named_run

    print_named_run(request)
