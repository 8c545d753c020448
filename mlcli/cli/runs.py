"""`mlcli runs`: list and show the runs on disk."""

from __future__ import annotations

from typing import Annotated, get_args

import typer

from mlcli.cli.options import OUTPUT_PANEL, Commands, Format, RunsDir, completed
from mlcli.records import RunStatus
from mlcli.registry import BACKENDS, DATASETS, alternatives
from mlcli.runs import SORT_KEYS, RunQuery, run_list, run_show

app = Commands(help="List and show runs.", no_args_is_help=True)
_FILTERS = "Filters"
_STATUSES = get_args(RunStatus)
_DEFAULT_LIMIT = 20


@app.command("list")
def list_(
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            "-b",
            help=f"Runs of this engine: {alternatives(BACKENDS)}.",
            autocompletion=completed(BACKENDS),
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help=f"Runs on this dataset: {alternatives(DATASETS)}.",
            autocompletion=completed(DATASETS),
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(
            help=f"Runs with this status: {alternatives(_STATUSES)}.",
            autocompletion=completed(_STATUSES),
            rich_help_panel=_FILTERS,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(
            help="Runs with this name; * matches any characters.", metavar="PATTERN", rich_help_panel=_FILTERS
        ),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help=f"Sort by {alternatives(SORT_KEYS)}; the newest, best or fastest run comes first.",
            metavar="KEY",
            autocompletion=completed(SORT_KEYS),
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = "created",
    limit: Annotated[
        int, typer.Option(min=0, help="List the first N runs; 0 lists all.", metavar="N", rich_help_panel=OUTPUT_PANEL)
    ] = _DEFAULT_LIMIT,
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """List runs, the newest first. Other commands accept the text in the first column as the name of a run."""
    run_list(RunQuery(backend, dataset, status, name, sort, limit or None), runs_dir, output_format)


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A directory, a run id, a unique prefix of one, or last.")],
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """Show a run as train does, with its history and notes. The run may have failed or be unfinished."""
    run_show(run, runs_dir, output_format)
