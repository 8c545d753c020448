"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXPERIMENT_PANEL = "The experiment"
RUN_PANEL = "The run"
OUTPUT_PANEL = "Output"

Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set any key, e.g. optimizer.momentum=0.9; may be repeated.",
        metavar="KEY=VALUE",
        rich_help_panel=EXPERIMENT_PANEL,
    ),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        "--runs-dir",
        help="Where runs are kept; default runs, or MLCLI_RUNS_DIR.",
        metavar="DIR",
        rich_help_panel=RUN_PANEL,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where datasets are kept; or MLCLI_DATA_DIR.", metavar="DIR", rich_help_panel=RUN_PANEL
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never use the network; or MLCLI_OFFLINE=1.", rich_help_panel=RUN_PANEL)
]
Format = Annotated[
    str,
    typer.Option(
        "--format", "-f", help="table, json, csv or markdown.", metavar="FORMAT", rich_help_panel=OUTPUT_PANEL
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT_PANEL)]
