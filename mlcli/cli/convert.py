"""The options of `mlcli convert`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlcli.cli import options
from mlcli.cli.options import command, output, verification
from mlcli.convert import ConvertRequest, run
from mlcli.convert.formats import FORMATS
from mlcli.registry import alternatives

_SUFFIXES = alternatives(info.suffix for info in FORMATS.values())

convert = command(
    """Write the model of a finished run in the format of another library.

    The file needs no mlcli; the Python code that loads it is printed. That code is first run on the test split. The
    file is written only if its scores agree with those of the run within the tolerance; otherwise the exit code is 1.

    The model of a table of your own comes with its preparation: a script and a JSON file of the same name, or for ONNX
    within the model.

    Examples:
      mlcli convert last --to keras --output digits.keras
      mlcli convert last --to onnx --output digits.onnx --force
    """,
    run,
    ConvertRequest,
    run=options.RunArgument,
    target=Annotated[str, output("--to", help=f"Format: {alternatives(FORMATS)}.", metavar="FORMAT", names=FORMATS)],
    output=Annotated[Path, output("--output", "-o", help=f"The {_SUFFIXES} file to write.", metavar="FILE")],
    tolerance=Annotated[
        float,
        verification(
            "--tolerance", help="Largest accepted difference of a score, relative to the sample's largest.", metavar="X"
        ),
    ],
    force=options.Force,
    threads=options.Threads,
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    offline=options.Offline,
    output_format=options.Format,
    quiet=options.Quiet,
)
