"""The options of `mlcli batch-bench`."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from mlcli.batch_bench import DEFAULT_MIN_SECONDS, DEFAULT_SIZES, PHASE_CHOICES, PRECISIONS, BatchBenchRequest, run
from mlcli.cli import options
from mlcli.cli.completion import completed_configs_and_runs
from mlcli.cli.options import CONFIG_REFERENCE, command, execution, option, output
from mlcli.registry import alternatives
from mlcli.rendering import OutputFormat

_measurement = functools.partial(option, panel="Measurement")
_SIZES = ",".join(map(str, DEFAULT_SIZES))

batch_bench = command(
    """Benchmark throughput by batch size. Each engine is measured in its own process, all sizes in turn.

    Examples:
      mlcli batch-bench --dataset digits --backend torch --sizes 1,32,1024
      mlcli batch-bench last --phase forward --output bench.json
    """,
    run,
    BatchBenchRequest,
    source=Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG|RUN",
            help=f"{CONFIG_REFERENCE}; or a finished run whose weights are used. Default: MNIST, mlp.",
            autocompletion=completed_configs_and_runs,
        ),
    ],
    backends=options.Backends,
    sizes=Annotated[
        str | None,
        _measurement(
            "--sizes",
            help="Batch sizes; auto doubles from 1 until memory or throughput stops it. "
            f"Default: {_SIZES}, as far as the data can fill them.",
            metavar="N,N,...",
        ),
    ],
    phase=Annotated[
        str,
        _measurement(
            "--phase",
            help=f"Prediction (forward) or training steps: {alternatives(PHASE_CHOICES)}.",
            names=PHASE_CHOICES,
        ),
    ],
    include_transfer=Annotated[
        bool,
        _measurement(
            "--include-transfer", help="Also time the copy to the device, type conversion and scaling of each batch."
        ),
    ],
    precision=Annotated[
        str | None,
        _measurement(
            "--precision", help=f"Precision of matrix products: {alternatives(PRECISIONS)}.", names=PRECISIONS
        ),
    ],
    compiled=Annotated[bool, _measurement("--compile", help="Use torch.compile (torch only).")],
    min_time=Annotated[
        float | None,
        _measurement(
            "--min-time",
            help=f"Minimum measuring time per batch size. Default: {DEFAULT_MIN_SECONDS}.",
            metavar="SECONDS",
        ),
    ],
    max_time=Annotated[
        float,
        _measurement(
            "--max-time",
            help="Maximum measuring time per batch size, or up to four times that for six samples of slow batches.",
            metavar="SECONDS",
        ),
    ],
    repeats=Annotated[
        int | None,
        _measurement(
            "--repeats",
            min=1,
            help="Samples per batch size. Default: until the median is known within 2 %.",
            metavar="N",
        ),
    ],
    dataset=options.DatasetName,
    **options.OWN_DATA,
    model=options.ModelName,
    optimizer=options.OptimizerName,
    limit=options.Limit,
    settings=options.Settings,
    device=options.Device,
    threads=Annotated[
        str | None, execution("--threads", help="CPU thread counts, measured one by one.", metavar="N,N,...")
    ],
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    offline=options.Offline,
    output_format=Annotated[
        str | None,
        output(
            "--format",
            "-f",
            help=f"Output format: {alternatives(OutputFormat)}. Default: by the suffix of --output, else table.",
            metavar="FORMAT",
            names=OutputFormat,
        ),
    ],
    output=options.Output,
    save_plots=options.SavePlots,
    plot_format=options.PlotFormatName,
    force=options.Force,
    log_file=options.LogFile,
    quiet=options.Quiet,
)
