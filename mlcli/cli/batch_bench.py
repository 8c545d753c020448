"""`mlcli batch-bench`: throughput by batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.batch_bench import BatchBenchRequest, run
from mlcli.cli.options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    DataDir,
    DatasetName,
    Debug,
    Device,
    Limit,
    ModelName,
    Offline,
    OptimizerName,
    RunsDir,
    Settings,
)

MEASUREMENT_PANEL = "Measurement"


def batch_bench(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG|RUN",
            help="A YAML file, or a finished run whose weights are used. Default: an mlp on MNIST.",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", "-b", help="One engine or several.", metavar="A,B,...", rich_help_panel=RUN_PANEL),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Batch sizes; auto doubles from 1 until memory or throughput stops it. "
            "Default: 1,10,100,300,600,1000,6000,60000, as far as the data can fill them.",
            metavar="N,N,...",
            rich_help_panel=MEASUREMENT_PANEL,
        ),
    ] = None,
    phase: Annotated[
        str,
        typer.Option(help="forward (prediction), train (training steps) or both.", rich_help_panel=MEASUREMENT_PANEL),
    ] = "both",
    include_transfer: Annotated[
        bool,
        typer.Option(
            "--include-transfer",
            help="Also time the copy to the device, type conversion and scaling of each batch.",
            rich_help_panel=MEASUREMENT_PANEL,
        ),
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(help="Precision of matrix products: float32, tf32 or bf16.", rich_help_panel=MEASUREMENT_PANEL),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile (torch only).", rich_help_panel=MEASUREMENT_PANEL)
    ] = False,
    min_time: Annotated[
        float | None,
        typer.Option(
            help="Minimum measuring time per batch size. Default: 0.25.",
            metavar="SECONDS",
            rich_help_panel=MEASUREMENT_PANEL,
        ),
    ] = None,
    max_time: Annotated[
        float,
        typer.Option(
            help="Maximum measuring time per batch size; slow batches get at least six samples within four times this.",
            metavar="SECONDS",
            rich_help_panel=MEASUREMENT_PANEL,
        ),
    ] = 2.0,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Number of samples per batch size. Default: until the median is known within 2 %.",
            metavar="N",
            rich_help_panel=MEASUREMENT_PANEL,
        ),
    ] = None,
    dataset: DatasetName = None,
    model: ModelName = None,
    optimizer: OptimizerName = None,
    limit: Limit = None,
    settings: Settings = None,
    device: Device = None,
    threads: Annotated[
        str | None,
        typer.Option(help="CPU thread counts, measured one by one.", metavar="N,N,...", rich_help_panel=RUN_PANEL),
    ] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, json, csv or markdown. Default: by the suffix of --output, else table.",
            metavar="FORMAT",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Write the result to this file instead of stdout.",
            metavar="FILE",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    save_plots: Annotated[
        Path | None,
        typer.Option(help="Write plots to this directory.", metavar="DIR", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print no progress and no notes.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    debug: Debug = False,
) -> None:
    """Benchmark throughput by batch size; each engine is measured in its own process."""
    run(
        BatchBenchRequest(
            source=source,
            backends=backend,
            sizes=sizes,
            phase=phase,
            include_transfer=include_transfer,
            precision=precision,
            compiled=compiled,
            min_time=min_time,
            max_time=max_time,
            repeats=repeats,
            dataset=dataset,
            model=model,
            optimizer=optimizer,
            limit=limit,
            settings=tuple(settings or ()),
            device=device,
            threads=threads,
            runs_dir=runs_dir,
            data_dir=data_dir,
            offline=offline,
            output_format=output_format,
            output=output,
            save_plots=save_plots,
            quiet=quiet,
        )
    )
