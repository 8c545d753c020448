"""The options of `mlcli compare` and `mlcli receipt`."""

from __future__ import annotations

import functools
from typing import Annotated

import typer

from mlcli.cli import options
from mlcli.cli.completion import completed_configs_and_runs, completed_runs, completed_settings
from mlcli.cli.options import CONFIG_REFERENCE, command, execution, option, output
from mlcli.compare import EXECUTORS, FORMATS, CompareRequest, ReceiptRequest, run, run_receipt
from mlcli.registry import METRICS, alternatives

_matrix = functools.partial(option, panel="Matrix")

compare = command(
    """Compare variants of an experiment over several seeds: better, worse, a tie, or inconclusive.

    With a YAML file or flags, every engine and every value of --vary is trained with every seed, each run (a cell of
    the matrix) in a separate process. Cells that have already finished are reused. With existing runs, those that
    differ only in the seed, or in the fold, form one variant. With --folds, verdicts take into account that the
    training sets of folds overlap.

    Examples:
      mlcli compare digits_mlp --backend sklearn,torch,keras --seeds 3
      mlcli compare digits_mlp --vary optimizer.lr=0.003,0.0003 --dry-run
      mlcli compare --data t.csv --target y --backend sklearn,torch --folds 5
      mlcli compare digits_mlp --backend sklearn,torch --folds 5 --repeats 2
      mlcli compare '*_digits_mlp_*' --format html --output report.html
    """,
    run,
    CompareRequest,
    inputs=Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG | RUN RUN...",
            help=f"{CONFIG_REFERENCE}; or two or more existing runs: directories, run ids, unique prefixes, globs, or "
            "last.",
            show_default=False,
            autocompletion=completed_configs_and_runs,
        ),
    ],
    backends=options.Backends,
    seeds=Annotated[
        str | None,
        _matrix(
            "--seeds",
            help="Number of seeds, or a list of them: 5, or 0,1,7. Default: 3. With --folds, the number of seeds for "
            "each fold, 1 by default: every fold has its own.",
            metavar="N",
        ),
    ],
    folds=Annotated[
        int | None,
        _matrix(
            "--folds",
            help="Divide the samples into K stratified parts, test on each in turn and train on the others.",
            min=2,
            max=1000,
            metavar="K",
        ),
    ],
    repeats=Annotated[
        int | None, _matrix("--repeats", help="Divide the samples into folds R times anew.", min=1, metavar="R")
    ],
    vary=Annotated[
        list[str] | None,
        _matrix(
            "--vary",
            help="Values of a key, e.g. optimizer.lr=0.001,0.0003. Repeatable: all combinations are compared.",
            metavar="KEY=V1,V2",
            complete=completed_settings,
        ),
    ],
    dataset=options.DatasetName,
    **options.OWN_DATA,
    model=options.ModelName,
    settings=options.Settings,
    fail_fast=Annotated[bool, _matrix("--fail-fast", help="Start no further cells after a failure.")],
    retry_failed=Annotated[bool, _matrix("--retry-failed", help="Also run cells that failed in an earlier call.")],
    retime=Annotated[bool, _matrix("--retime", help="Also run finished cells again, to measure all times together.")],
    dry_run=Annotated[bool, output("--dry-run", help="Show the cells and an estimate of the time, and exit.")],
    jobs=Annotated[int, execution("--jobs", min=1, help="Run N cells in parallel; timings interfere.", metavar="N")],
    gpus=Annotated[
        bool, execution("--gpus", help="Run as many cells in parallel as there are CUDA devices, one on each.")
    ],
    executor=Annotated[
        str,
        execution("--executor", help=f"Where cells run: {alternatives(EXECUTORS)}.", metavar="NAME", names=EXECUTORS),
    ],
    address=Annotated[
        str | None,
        execution("--address", help="Address of the Ray cluster. Default: the local one.", metavar="ADDRESS"),
    ],
    device=options.Device,
    threads=options.Threads,
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    offline=options.Offline,
    metric=Annotated[
        str,
        output(
            "--metric",
            help=f"Metric by which variants are ranked and judged: {alternatives(METRICS)}.",
            metavar="NAME",
            names=METRICS,
        ),
    ],
    reference=Annotated[
        str | None, output("--reference", help="Baseline variant. Default: the first.", metavar="VARIANT")
    ],
    allow_different_data=Annotated[
        bool, output("--allow-different-data", help="Compare runs on different datasets or splits.")
    ],
    output_format=Annotated[
        str, output("--format", "-f", help=f"Output format: {alternatives(FORMATS)}.", metavar="FORMAT", names=FORMATS)
    ],
    explain=Annotated[bool, output("--explain", help="Also print the controlled conditions and the method.")],
    output=options.Output,
    save_plots=options.SavePlots,
    plot_format=options.PlotFormatName,
    force=options.Force,
    fail_under=options.FailUnder,
    fail_above=options.FailAbove,
    fail_if_worse=Annotated[
        list[str] | None,
        output(
            "--fail-if-worse",
            help="Exit with code 9 if a variant is significantly worse, by --metric, than this baseline run. "
            "Repeatable, for runs of one configuration with other seeds: three or more are recommended.",
            metavar="RUN",
            complete=completed_runs,
        ),
    ],
    log_file=options.LogFile,
    quiet=options.Quiet,
)


receipt = options.command(
    """Report what differed between finished runs, and what was controlled: data, weights, training, machine, code.

    Examples:
      mlcli receipt runs/torch runs/keras
      mlcli receipt runs/*_digits_mlp_* --format markdown
    """,
    run_receipt,
    ReceiptRequest,
    runs=Annotated[
        list[str],
        typer.Argument(
            metavar="RUN RUN...",
            help="Two or more finished runs: directories, run ids, unique prefixes, or last.",
            show_default=False,
            autocompletion=completed_runs,
        ),
    ],
    runs_dir=options.RunsDir,
    output_format=options.Format,
)
