"""`mlcli predict`: label new samples with a stored run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.options import OUTPUT_PANEL, RUN_PANEL, Format, RunsDir
from mlcli.experiment.threads import configure_threads


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
) -> None:
    """Label new samples: a class and its probabilities for each, with the run's own preprocessing.

    Samples are raw values, as the dataset has them: bytes from 0 to 255 for images, not scaled. Images may be
    (n, 1, height, width), (n, height, width) or flat. A table's columns are found by name. The dataset is not needed.
    """
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import default_runs_directory

    checked_format(output_format)
    stored = open_run(run, runs_dir or default_runs_directory())
    n_threads = configure_threads(stored.config, threads)
    # These load numpy, which must not happen before.
    from mlcli.predict.predict import PredictionRequest
    from mlcli.predict.predict import predict as predict_workflow
    from mlcli.predict.report import prediction_progress, print_prediction
    from mlcli.rendering.console import print_notes

    request = PredictionRequest(
        input=input_,
        output=output,
        array=array,
        force=force,
        backend=backend,
        device=device,
        threads=n_threads,
        batch_size=batch_size,
    )
    with prediction_progress(quiet=quiet) as report:
        prediction = predict_workflow(stored, request, report)
    if not quiet:
        print_notes(prediction.notes)
    print_prediction(prediction, output_format)
