"""`mlcli receipt`: what was held equal between runs, and what differed."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.options import Format, RunsDir


def receipt(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two finished runs or more: directories, ids, unique prefixes, or last.",
            show_default=False,
        ),
    ],
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """Show what was held equal between finished runs, and what differed: data, weights, batches, settings, machine."""
    from mlcli.compare.receipt import comparability_report, facts_of
    from mlcli.compare.receipt_report import print_receipt
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import default_runs_directory, find_run

    checked_format(output_format)
    directory = runs_dir or default_runs_directory()
    print_receipt(comparability_report([facts_of(open_run(find_run(run, directory))) for run in runs]), output_format)
