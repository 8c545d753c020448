"""`mlcli runs`: list and show the runs on disk."""

from __future__ import annotations

import functools
from typing import Annotated, get_args

import typer

from mlcli.cli.completion import completed_runs
from mlcli.cli.options import RUN_REFERENCE, Commands, Format, Quiet, RunsDir, option, output
from mlcli.records import RunStatus
from mlcli.registry import BACKENDS, DATASETS, alternatives
from mlcli.runs import DEFAULT_RUNS_DIR, SORT_KEYS, RunQuery, run_list, run_show

app = Commands(help="List and show runs.", no_args_is_help=True)
_filter = functools.partial(option, panel="Filters")
_STATUSES = get_args(RunStatus)
_DEFAULT_LIMIT = 20


@app.command("list")
def list_(
    backend: Annotated[
        str | None, _filter("--backend", "-b", help=f"Runs of this engine: {alternatives(BACKENDS)}.", names=BACKENDS)
    ] = None,
    dataset: Annotated[
        str | None, _filter("--dataset", "-d", help=f"Runs on this dataset: {alternatives(DATASETS)}.", names=DATASETS)
    ] = None,
    status: Annotated[
        str | None, _filter("--status", help=f"Runs with this status: {alternatives(_STATUSES)}.", names=_STATUSES)
    ] = None,
    name: Annotated[
        str | None, _filter("--name", help="Runs with this name; * matches any characters.", metavar="PATTERN")
    ] = None,
    sort: Annotated[
        str,
        output(
            "--sort",
            help=f"Sort by {alternatives(SORT_KEYS)}; the newest, best or fastest run comes first.",
            metavar="KEY",
            names=SORT_KEYS,
        ),
    ] = "created",
    limit: Annotated[
        int, output("--limit", min=0, help="List the first N runs; 0 lists all.", metavar="N")
    ] = _DEFAULT_LIMIT,
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    output_format: Format = "table",
    quiet: Quiet = False,
) -> None:
    """List runs, the newest first. Other commands accept the text in the first column as the name of a run.

    Examples:
      mlcli runs list --dataset fashion --sort accuracy
      mlcli runs list --status unfinished --format json
    """
    run_list(RunQuery(backend, dataset, status, name, sort, limit or None), runs_dir, output_format, quiet=quiet)


@app.command()
def show(
    run: Annotated[
        str, typer.Argument(metavar="RUN", help=f"A run in any state: {RUN_REFERENCE}.", autocompletion=completed_runs)
    ],
    runs_dir: RunsDir = DEFAULT_RUNS_DIR,
    output_format: Format = "table",
) -> None:
    """Show a run as train does, with its history and notes. The run may have failed or be unfinished.

    Examples:
      mlcli runs show last
      mlcli runs show last --format json
    """
    run_show(run, runs_dir, output_format)
