"""`mlcli batch-bench`: throughput by batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlcli.batch_bench import (
    DEFAULT_MIN_SECONDS,
    DEFAULT_SIZES,
    PHASE_CHOICES,
    PRECISIONS,
    BatchBenchRequest,
    run,
)
from mlcli.cli.options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    DataDir,
    DatasetName,
    Device,
    Limit,
    ModelName,
    Offline,
    OptimizerName,
    Quiet,
    RunsDir,
    SavePlots,
    Settings,
)
from mlcli.registry import alternatives


def _measurement(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel="Measurement", **settings)


Source = Annotated[
    str | None,
    typer.Argument(
        metavar="CONFIG|RUN", help="A YAML file, or a finished run whose weights are used. Default: an mlp on MNIST."
    ),
]
Backends = Annotated[
    str | None,
    typer.Option("--backend", "-b", help="One engine or several.", metavar="A,B,...", rich_help_panel=RUN_PANEL),
]
Sizes = Annotated[
    str | None,
    _measurement(
        help="Batch sizes; auto doubles from 1 until memory or throughput stops it. "
        f"Default: {','.join(map(str, DEFAULT_SIZES))}, as far as the data can fill them.",
        metavar="N,N,...",
    ),
]
IncludeTransfer = Annotated[
    bool,
    _measurement(
        "--include-transfer", help="Also time the copy to the device, type conversion and scaling of each batch."
    ),
]
MinTime = Annotated[
    float | None,
    _measurement(help=f"Minimum measuring time per batch size. Default: {DEFAULT_MIN_SECONDS}.", metavar="SECONDS"),
]
MaxTime = Annotated[
    float,
    _measurement(
        help="Maximum measuring time per batch size, or up to four times that for six samples of slow batches.",
        metavar="SECONDS",
    ),
]
Repeats = Annotated[
    int | None,
    _measurement(min=1, help="Samples per batch size. Default: until the median is known within 2 %.", metavar="N"),
]
ThreadCounts = Annotated[
    str | None,
    typer.Option(help="CPU thread counts, measured one by one.", metavar="N,N,...", rich_help_panel=RUN_PANEL),
]
OutputFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        "-f",
        help="Output format: table, json, csv or markdown. Default: by the suffix of --output, else table.",
        metavar="FORMAT",
        rich_help_panel=OUTPUT_PANEL,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the result to this file.", metavar="FILE", rich_help_panel=OUTPUT_PANEL),
]


def batch_bench(
    source: Source = None,
    backend: Backends = None,
    sizes: Sizes = None,
    phase: Annotated[
        str, _measurement(help=f"Prediction (forward) or training steps: {alternatives(PHASE_CHOICES)}.")
    ] = "both",
    include_transfer: IncludeTransfer = False,
    precision: Annotated[
        str | None, _measurement(help=f"Precision of matrix products: {alternatives(PRECISIONS)}.")
    ] = None,
    compiled: Annotated[bool, _measurement("--compile", help="Use torch.compile (torch only).")] = False,
    min_time: MinTime = None,
    max_time: MaxTime = 2.0,
    repeats: Repeats = None,
    dataset: DatasetName = None,
    model: ModelName = None,
    optimizer: OptimizerName = None,
    limit: Limit = None,
    settings: Settings = None,
    device: Device = None,
    threads: ThreadCounts = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: OutputFormat = None,
    output: Output = None,
    save_plots: SavePlots = None,
    quiet: Quiet = False,
) -> None:
    """Benchmark throughput by batch size. Each engine is measured in its own process, all sizes in turn."""
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
