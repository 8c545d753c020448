"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="Set any key, e.g. optimizer.momentum=0.9; may be repeated.", metavar="KEY=VALUE"),
]
RunsDir = Annotated[
    Path | None, typer.Option("--runs-dir", help="Where runs are kept; default runs, or MLCLI_RUNS_DIR.", metavar="DIR")
]
DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Where datasets are kept; or MLCLI_DATA_DIR.", metavar="DIR")
]
Offline = Annotated[bool, typer.Option("--offline", help="Never use the network; or MLCLI_OFFLINE=1.")]
Format = Annotated[str, typer.Option("--format", "-f", help="table, json, csv or markdown.", metavar="FORMAT")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
