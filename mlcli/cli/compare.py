"""The options of `mlcli compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlcli.cli.options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    DataDir,
    Device,
    FailUnder,
    Offline,
    Quiet,
    RunsDir,
    SavePlots,
    Settings,
    Threads,
    completed,
)
from mlcli.compare import EXECUTORS, FORMATS, CompareRequest, run
from mlcli.experiment.thresholds import parse_thresholds
from mlcli.registry import alternatives
from mlcli.text import comma_separated


def _matrix(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel="Matrix", **settings)


def _execution(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=RUN_PANEL, **settings)


def _output(*flags: str, **settings: Any) -> Any:
    return typer.Option(*flags, rich_help_panel=OUTPUT_PANEL, **settings)


def compare(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="CONFIG | RUN RUN...",
            help="A YAML file, or two or more existing runs: directories, run ids, unique prefixes, globs, or last.",
            show_default=False,
        ),
    ] = None,
    backends: Annotated[
        str | None, _matrix("--backends", "-b", help="Engines. Default: those in the file.", metavar="A,B,...")
    ] = None,
    seeds: Annotated[
        str, _matrix("--seeds", help="Number of seeds, or a list of them: 5, or 0,1,7.", metavar="N")
    ] = "3",
    vary: Annotated[
        list[str] | None,
        _matrix(
            "--vary",
            help="Values of a key, e.g. optimizer.lr=0.001,0.0003. Repeatable: all combinations are compared.",
            metavar="KEY=V1,V2",
        ),
    ] = None,
    settings: Settings = None,
    fail_fast: Annotated[bool, _matrix("--fail-fast", help="Start no further cells after a failure.")] = False,
    retry_failed: Annotated[
        bool, _matrix("--retry-failed", help="Also run cells that failed in an earlier call.")
    ] = False,
    dry_run: Annotated[
        bool, _matrix("--dry-run", help="Show the cells and an estimate of the time, and exit.")
    ] = False,
    jobs: Annotated[
        int, _execution("--jobs", min=1, help="Run N cells in parallel; timings interfere.", metavar="N")
    ] = 1,
    gpus: Annotated[
        bool, _execution("--gpus", help="Run as many cells in parallel as there are CUDA devices, one on each.")
    ] = False,
    executor: Annotated[
        str,
        _execution(
            "--executor",
            help=f"Where cells run: {alternatives(EXECUTORS)}.",
            metavar="NAME",
            autocompletion=completed(EXECUTORS),
        ),
    ] = "local",
    address: Annotated[
        str | None,
        _execution("--address", help="Address of the Ray cluster. Default: the local one.", metavar="ADDRESS"),
    ] = None,
    device: Device = None,
    threads: Threads = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    reference: Annotated[
        str | None, _output("--reference", help="Baseline variant. Default: the first.", metavar="VARIANT")
    ] = None,
    allow_different_data: Annotated[
        bool, _output("--allow-different-data", help="Compare runs on different datasets or splits.")
    ] = False,
    columns: Annotated[
        str | None,
        _output("--columns", help="Only these columns, e.g. accuracy,fit_seconds,verdict.", metavar="A,B,..."),
    ] = None,
    sort: Annotated[
        str | None, _output("--sort", help="Sort by a column; -accuracy for descending order.", metavar="COLUMN")
    ] = None,
    only_changed: Annotated[
        bool,
        _output("--only-changed", help="Only variants that differ significantly from the baseline variant."),
    ] = False,
    output_format: Annotated[
        str,
        _output(
            "--format",
            "-f",
            help=f"Output format: {alternatives(FORMATS)}.",
            metavar="FORMAT",
            autocompletion=completed(FORMATS),
        ),
    ] = "table",
    output: Annotated[
        Path | None, _output("--output", help="Write to this file instead of stdout.", metavar="FILE")
    ] = None,
    save_plots: SavePlots = None,
    fail_under: FailUnder = None,
    fail_if_worse: Annotated[
        str | None,
        _output(
            "--fail-if-worse",
            help="Exit with code 7 if a variant is significantly less accurate than this run.",
            metavar="RUN",
        ),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Compare variants of an experiment over several seeds: better, worse, a tie, or inconclusive.

    With a YAML file, every engine and every value of --vary is trained with every seed, each run (a cell of the matrix)
    in a separate process. Cells that have already finished are reused. With existing runs, those that differ only in
    the seed form one variant.
    """
    run(
        CompareRequest(
            inputs=inputs or (),
            backends=comma_separated(backends or ""),
            seeds=seeds,
            vary=vary or (),
            settings=settings or (),
            executor=executor,
            address=address,
            jobs=jobs,
            gpus=gpus,
            device=device,
            threads=threads,
            fail_fast=fail_fast,
            retry_failed=retry_failed,
            dry_run=dry_run,
            runs_directory=runs_dir,
            data_directory=data_dir,
            offline=offline,
            reference=reference,
            allow_different_data=allow_different_data,
            columns=columns,
            sort=sort,
            only_changed=only_changed,
            output_format=output_format,
            output=output,
            save_plots=save_plots,
            thresholds=parse_thresholds(fail_under or [], ("accuracy",)),
            fail_if_worse=fail_if_worse,
            quiet=quiet,
        )
    )
