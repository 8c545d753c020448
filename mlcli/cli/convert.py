"""The options of `mlcli convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli import convert as package
from mlcli.cli.options import DataDir, Force, Format, Offline, Quiet, RunArgument, RunsDir, Threads, completed
from mlcli.convert.formats import FORMATS
from mlcli.registry import alternatives

_SUFFIXES = alternatives(info.suffix for info in FORMATS.values())


def convert(
    run: RunArgument,
    target: Annotated[
        str,
        typer.Option(
            "--to", help=f"Format: {alternatives(FORMATS)}.", metavar="FORMAT", autocompletion=completed(FORMATS)
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help=f"The {_SUFFIXES} file to write.", metavar="FILE")],
    tolerance: Annotated[
        float,
        typer.Option(help="Largest accepted difference of a score, relative to the sample's largest.", metavar="X"),
    ] = package.DEFAULT_TOLERANCE,
    force: Force = False,
    threads: Threads = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
    quiet: Quiet = False,
) -> None:
    """Write the model of a finished run in the format of another library.

    The file needs no mlcli; the Python code that loads it is printed. That code is first run on the test split. The
    file is written only if its scores agree with those of the run within the tolerance; otherwise the exit code is 1.
    """
    package.run(
        package.ConvertRequest(
            run=run,
            target=target,
            output=output,
            tolerance=tolerance,
            force=force,
            threads=threads,
            runs_dir=runs_dir,
            data_dir=data_dir,
            offline=offline,
            output_format=output_format,
            quiet=quiet,
        )
    )
