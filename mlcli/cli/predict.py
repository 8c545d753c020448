"""The options of `mlcli predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli import predict as package
from mlcli.cli.options import (
    Device,
    Force,
    Format,
    OtherBackend,
    PredictBatchSize,
    Quiet,
    RunArgument,
    RunsDir,
    Threads,
)
from mlcli.registry import alternatives


def predict(
    run: RunArgument,
    input_: Annotated[
        Path,
        typer.Option(
            "--input",
            "-i",
            help=f"File with samples: {alternatives(package.INPUT_SUFFIXES)}, an image or a folder of images.",
            metavar="FILE",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=f"File to write: {alternatives(package.OUTPUT_SUFFIXES)}.", metavar="FILE"),
    ],
    array: Annotated[
        str | None,
        typer.Option(help="Name of the array in an .npz file. Default: x, or the only one.", metavar="NAME"),
    ] = None,
    force: Force = False,
    backend: OtherBackend = None,
    batch_size: PredictBatchSize = 1024,
    device: Device = None,
    threads: Threads = None,
    runs_dir: RunsDir = None,
    output_format: Format = "table",
    quiet: Quiet = False,
) -> None:
    """Predict the class of new samples with a stored run.

    Writes the class and the class probabilities of every sample. Give raw
    values (pixels from 0 to 255, for example): the preprocessing stored in the
    run is applied to them. The dataset of the run is not needed.

    The shape of images is (n, 1, height, width), (n, height, width) or flat.
    The columns of tables are matched by name.
    """
    package.run(
        package.PredictRequest(
            run=run,
            input=input_,
            output=output,
            array=array,
            force=force,
            backend=backend,
            device=device,
            threads=threads,
            batch_size=batch_size,
            runs_dir=runs_dir,
            output_format=output_format,
            quiet=quiet,
        )
    )
