"""The options of `mlcli receipt`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli import options
from mlcli.compare import ReceiptRequest, run_receipt

receipt = options.command(
    """Report what differed between finished runs, and what was controlled: data, weights, training, machine, code.""",
    run_receipt,
    ReceiptRequest,
    runs=Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two or more finished runs: directories, run ids, unique prefixes, or last.",
            show_default=False,
        ),
    ],
    runs_dir=options.RunsDir,
    output_format=options.Format,
)
