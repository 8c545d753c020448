"""`mlcli evaluate`: score a stored run on one split."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli.cli.options import (
    EXPERIMENT_PANEL,
    OUTPUT_PANEL,
    DataDir,
    Device,
    FailUnder,
    Format,
    Offline,
    OtherBackend,
    PredictBatchSize,
    Quiet,
    RunArgument,
    RunsDir,
    SavePlots,
    Threads,
    completed,
)
from mlcli.evaluate import SPLITS, EvaluateRequest
from mlcli.evaluate import run as run_evaluate
from mlcli.registry import DATASETS, alternatives


def evaluate(
    run: RunArgument,
    split: Annotated[
        str,
        typer.Option(
            help=f"Split to score: {alternatives(SPLITS)}.",
            autocompletion=completed(SPLITS),
            rich_help_panel=EXPERIMENT_PANEL,
        ),
    ] = "test",
    backend: OtherBackend = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            "-d",
            help="Another dataset with samples of the same shape. Default: the dataset of the run.",
            autocompletion=completed(DATASETS),
            rich_help_panel=EXPERIMENT_PANEL,
        ),
    ] = None,
    batch_size: PredictBatchSize = 1024,
    misclassified: Annotated[
        int,
        typer.Option(
            min=0,
            help="List N misclassified samples, the most confident first.",
            metavar="N",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = 0,
    save_plots: SavePlots = None,
    device: Device = None,
    threads: Threads = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
    fail_under: FailUnder = None,
    quiet: Quiet = False,
) -> None:
    """Score a finished run from its directory alone, after verifying its checksums."""
    run_evaluate(
        EvaluateRequest(
            run=run,
            runs_dir=runs_dir,
            split=split,
            backend=backend,
            dataset=dataset,
            device=device,
            threads=threads,
            batch_size=batch_size,
            data_dir=data_dir,
            offline=offline,
            n_misclassified=misclassified,
            output_format=output_format,
            plots_dir=save_plots,
            fail_under=fail_under or (),
            quiet=quiet,
        )
    )
