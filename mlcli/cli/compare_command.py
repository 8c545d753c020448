"""`mlcli compare`: run or gather a matrix of runs and say what can be concluded from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.compare_steps import (
    SideBySide,
    backend_names,
    check_gates,
    check_names,
    config_path,
    print_dry_run,
    report,
    run_request,
    settle_threads,
    visible_devices,
)
from mlcli.cli.options import OUTPUT_PANEL, RUN_PANEL, DataDir, Debug, Offline, RunsDir, Settings
from mlcli.cli.thresholds import parse_thresholds

MATRIX_PANEL = "The matrix"


def compare(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG | RUN RUN...",
            help="A YAML file to run a matrix of, or runs that are there: directories, ids, prefixes, globs, last.",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        str | None,
        typer.Option(
            "--backends",
            "-b",
            help="Engines; default those that the file names.",
            metavar="A,B,...",
            rich_help_panel=MATRIX_PANEL,
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(help="How many seeds, or which ones: 5, or 0,1,7.", metavar="N", rich_help_panel=MATRIX_PANEL)
    ] = "3",
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="Values of a key, e.g. optimizer.lr=0.001,0.0003; may be repeated, for the product.",
            metavar="KEY=V1,V2",
            rich_help_panel=MATRIX_PANEL,
        ),
    ] = None,
    settings: Settings = None,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast", help="Start no further cell after one failed.", rich_help_panel=MATRIX_PANEL)
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try cells again that failed before.", rich_help_panel=MATRIX_PANEL)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the cells and an estimate of the time.", rich_help_panel=MATRIX_PANEL),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=1,
            help="Cells side by side; their times disturb one another.",
            metavar="N",
            rich_help_panel=MATRIX_PANEL,
        ),
    ] = 1,
    gpus: Annotated[
        bool,
        typer.Option(
            "--gpus", help="Give each cell one CUDA device, all devices at once.", rich_help_panel=MATRIX_PANEL
        ),
    ] = False,
    executor: Annotated[
        str,
        typer.Option(
            help="local: processes here; ray: tasks of a Ray cluster.", metavar="NAME", rich_help_panel=MATRIX_PANEL
        ),
    ] = "local",
    address: Annotated[
        str | None, typer.Option(help="Of the Ray cluster; default the one here.", rich_help_panel=MATRIX_PANEL)
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN_PANEL)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of each cell.", metavar="N", rich_help_panel=RUN_PANEL)
    ] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    reference: Annotated[
        str | None, typer.Option(help="The variant that others are held against; default the first.", metavar="VARIANT")
    ] = None,
    allow_different_data: Annotated[
        bool, typer.Option("--allow-different-data", help="Compare runs on different datasets or splits all the same.")
    ] = False,
    columns: Annotated[
        str | None,
        typer.Option(
            help="Only these columns, e.g. accuracy,fit_seconds,verdict.",
            metavar="A,B,...",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort by a column; -accuracy for descending.", metavar="COLUMN", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    only_changed: Annotated[
        bool,
        typer.Option(
            "--only-changed",
            help="Only variants that differ from the reference in accuracy or time.",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = False,
    output_format: Annotated[
        str,
        typer.Option(
            "--format", "-f", help="table, json, csv, markdown or html.", metavar="FORMAT", rich_help_panel=OUTPUT_PANEL
        ),
    ] = "table",
    output: Annotated[
        Path | None, typer.Option(help="Write there instead of stdout.", metavar="FILE", rich_help_panel=OUTPUT_PANEL)
    ] = None,
    save_plots: Annotated[
        Path | None,
        typer.Option(help="Draw pictures into this directory.", metavar="DIR", rich_help_panel=OUTPUT_PANEL),
    ] = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 7 when the mean of a variant is lower, e.g. accuracy=0.85.",
            metavar="METRIC=X",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    fail_if_worse: Annotated[
        str | None,
        typer.Option(
            help="Exit with 7 when a variant is significantly worse than this run.",
            metavar="RUN",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option(help="For --fail-if-worse: accuracy.", rich_help_panel=OUTPUT_PANEL)
    ] = "accuracy",
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    debug: Debug = False,
) -> None:
    """Compare variants of an experiment over seeds: better, worse, a tie, or too few runs to tell.

    With a YAML file, every engine and every value of --vary runs with every seed, each cell in a process of its own,
    round by round; cells that are finished already are reused. With runs, those that differ in the seed alone
    are one variant.
    """
    check_names(output_format, metric, executor)
    thresholds = parse_thresholds(fail_under or [], ("accuracy",))
    if save_plots is not None or output_format == "html":
        from mlcli.report.drawing import require_matplotlib

        require_matplotlib()
    side_by_side = SideBySide(executor, address, jobs, visible_devices(gpus and executor == "local"), gpus)
    n_threads = settle_threads(threads, side_by_side)
    # These load numpy, which must not happen before.
    from mlcli.report.compare_tables import checked_options
    from mlcli.runs import default_runs_directory
    from mlcli.workflows.compare import compare_runs
    from mlcli.workflows.compare_matrix import MatrixRequest
    from mlcli.workflows.compare_run import MatrixOptions

    options = checked_options(columns, sort, only_changed=only_changed)
    runs_directory = runs_dir or default_runs_directory()
    path = config_path(inputs or [])
    if inputs and path is None:
        comparison = compare_runs(
            inputs, runs_directory, reference=reference, allow_different_data=allow_different_data
        )
    else:
        request = MatrixRequest(
            path,
            backends=backend_names(backends),
            seeds=seeds,
            vary=vary or (),
            settings=settings or (),
            flags={"runtime.device": device, "runtime.threads": n_threads},
            data_directory=data_dir,
            offline=offline,
        )
        if dry_run:
            print_dry_run(request, runs_directory, output_format, retry_failed=retry_failed)
            return
        matrix = MatrixOptions(
            side_by_side.jobs, side_by_side.devices, fail_fast, retry_failed, reference, allow_different_data
        )
        comparison = run_request(request, matrix, side_by_side, runs_directory, n_threads, quiet=quiet)
    report(comparison, output_format, options, output, save_plots, quiet=quiet)
    check_gates(comparison, thresholds, fail_if_worse, runs_directory)
