"""`mlcli runs`: what was kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import OUTPUT_PANEL, Commands, Format, RunsDir

if TYPE_CHECKING:
    from mlcli.runs.listing import RunList

app = Commands(help="List and show the runs that were kept.", no_args_is_help=True)
_FILTERS = "Which runs"
_DEFAULT_LIMIT = 20


@app.command("list")
def list_(
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", help="sklearn, torch or keras.", rich_help_panel=_FILTERS)
    ] = None,
    dataset: Annotated[
        str | None, typer.Option("--dataset", "-d", help="iris, digits, mnist or fashion.", rich_help_panel=_FILTERS)
    ] = None,
    status: Annotated[
        str | None,
        typer.Option(help="finished, failed, diverged, interrupted or unfinished.", rich_help_panel=_FILTERS),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(help="Name of the run; * stands for anything.", metavar="PATTERN", rich_help_panel=_FILTERS),
    ] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="created (newest first), accuracy or loss (best first), time (least first), "
            "name, backend, dataset or status.",
            metavar="KEY",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = "created",
    limit: Annotated[
        int, typer.Option(min=0, help="Show the first N; 0 shows all.", metavar="N", rich_help_panel=OUTPUT_PANEL)
    ] = _DEFAULT_LIMIT,
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """List runs, the newest first. The first column is enough to name a run to other commands."""
    from mlcli.rendering.console import checked_format, print_notes
    from mlcli.runs.find import default_runs_directory
    from mlcli.runs.listing import RunFilter, list_runs
    from mlcli.runs.report import print_run_list

    checked_format(output_format)
    directory = runs_dir or default_runs_directory()
    found = list_runs(directory, RunFilter(backend, dataset, status, name), sort=sort, limit=limit or None)
    shown = {run.reference: (run.record, run.directory) for run in found.runs}
    print_run_list(shown, f"runs in {directory}", output_format)
    print_notes(_notes(found, directory))


def _notes(found: RunList, directory: Path) -> list[str]:
    notes = [f"left out: {fault}" for fault in found.faults]
    if not found.n_matching:
        return [*notes, f"no such run in {directory}"]
    if len(found.runs) < found.n_matching:
        notes.append(f"{len(found.runs)} of {found.n_matching} runs; --limit 0 shows all")
    return notes


@app.command()
def show(
    run: Annotated[str, typer.Argument(help="A directory, a run id, a unique prefix of one, or last.")],
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """Show a run as train did, with its history and notes; also one that failed or never finished."""
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import default_runs_directory, find_run
    from mlcli.runs.listing import describe_run
    from mlcli.runs.report import print_one_run

    checked_format(output_format)
    directory = find_run(run, runs_dir or default_runs_directory())
    print_one_run(describe_run(directory), directory.path, directory.read_history(), output_format)
