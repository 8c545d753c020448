"""The options of `mlcli predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.options import OUTPUT_PANEL, RUN_PANEL, Debug, Format, RunsDir
from mlcli.predict import PredictRequest
from mlcli.predict import run as run_command


def predict(
    run: Annotated[str, typer.Argument(help="A directory, a run id, a unique prefix of one, or last.")],
    input_: Annotated[
        Path,
        typer.Option(
            "--input", "-i", help=".npy, .npz, .csv, .parquet, an image or a folder of images.", metavar="FILE"
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=".csv, .npz, .parquet, or .npy for the labels alone.", metavar="FILE"),
    ],
    array: Annotated[
        str | None, typer.Option(help="Which array of an .npz file; default x, or the only one.", metavar="NAME")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that is there already.")] = False,
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", help="Another engine with the same weights.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per prediction step.", metavar="N")] = 1024,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN_PANEL)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of every library.", metavar="N", rich_help_panel=RUN_PANEL)
    ] = None,
    runs_dir: RunsDir = None,
    output_format: Format = "table",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    debug: Debug = False,
) -> None:
    """Predict the class of new samples with a stored run.

    Writes the class and its probabilities for each sample, after the preprocessing that is stored in the run. The dataset of the run is not needed.

    Samples are raw values as in the dataset: images are bytes from 0 to 255, not scaled, shaped (n, 1, height, width), (n, height, width) or flat. Columns of a table are matched by name.
    """  # noqa: E501
    run_command(
        PredictRequest(
            run=run,
            input=input_,
            output=output,
            array=array,
            force=force,
            backend=backend,
            device=device,
            threads=threads,
            batch_size=batch_size,
            runs_directory=runs_dir,
            output_format=output_format,
            quiet=quiet,
        )
    )
