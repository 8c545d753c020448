"""The options of `mlcli receipt`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.options import Format, RunsDir
from mlcli.compare import ReceiptRequest, run_receipt


def receipt(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two or more finished runs: directories, run ids, unique prefixes, or last.",
            show_default=False,
        ),
    ],
    runs_dir: RunsDir = None,
    output_format: Format = "table",
) -> None:
    """Report what differed between finished runs, and what was controlled: data, weights, training, machine, code."""
    run_receipt(ReceiptRequest(runs, runs_dir, output_format))
