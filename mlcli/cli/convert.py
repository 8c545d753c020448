"""`mlcli convert`: a stored run as a plain file of another project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import DataDir, Format, Offline, RunsDir
from mlcli.experiment.threads import configure_threads

if TYPE_CHECKING:
    from mlcli.convert.records import Conversion


def convert(
    run: Annotated[str, typer.Argument(help="A directory, a run id, a unique prefix of one, or last.")],
    target: Annotated[str, typer.Option("--to", help="torch, keras, sklearn or onnx.", metavar="FORMAT")],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="The file to write: .safetensors, .keras, .skops or .onnx.", metavar="PATH"
        ),
    ],
    tolerance: Annotated[
        float,
        typer.Option(help="On the difference of a sample's scores, relative to its largest score.", metavar="X"),
    ] = 1e-5,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of every library.", metavar="N")] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.")] = False,
) -> None:
    """Write the model of a finished run as a file that needs no mlcli, and show the lines of Python that load it.

    Those lines are run on the test split first, and the scores compared with those of the run's own engine: the file
    is put in place only when they are equal within the tolerance, else the exit code is 1.
    """
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import default_runs_directory

    checked_format(output_format)
    stored = open_run(run, runs_dir or default_runs_directory())
    n_threads = configure_threads(stored.config, threads)
    # These load numpy, which must not happen before.
    from mlcli.convert.convert import ConversionRequest
    from mlcli.convert.convert import convert as convert_workflow
    from mlcli.convert.report import print_conversion
    from mlcli.rendering.console import print_notes

    conversion = convert_workflow(
        stored, ConversionRequest(target, output, tolerance, force, n_threads, data_dir, offline)
    )
    if not quiet:
        print_notes(conversion.notes)
    print_conversion(conversion, output_format)
    _judge(conversion)


def _judge(conversion: Conversion) -> None:
    """MlcliError where the converted model does not score as the run does."""
    from mlcli.errors import MlcliError

    if conversion.is_within:
        return
    relative = conversion.largest_relative_difference
    if relative is None:
        raise MlcliError(f"{conversion.path} was not written: {conversion.n_changed} predictions changed")
    raise MlcliError(
        f"{conversion.path} was not written: scores differ by {relative:.3g} of the largest of a sample, more than the "
        f"tolerance {conversion.tolerance:g}\n--tolerance accepts more"
    )
