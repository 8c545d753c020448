"""`mlcli batch-bench`: which batch size is fast on this machine, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlcli.batch_bench.source import BenchSource
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
    RunsDir,
    Settings,
)

if TYPE_CHECKING:
    from mlcli.batch_bench.records import BatchBenchRecord, BenchSettings, Phase, PrecisionName
    from mlcli.batch_bench.run import BenchTask
    from mlcli.experiment.plan import Plan

MEASURING_PANEL = "What is measured"
_PHASES: dict[str, tuple[Phase, ...]] = {"forward": ("forward",), "train": ("train",), "both": ("forward", "train")}
_MIN_TIME = 0.25
_PRECISIONS = ("float32", "tf32", "bf16")
_SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown"}


def batch_bench(
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG|RUN",
            help="A YAML file, or a finished run whose weights are used; without one, an mlp on MNIST.",
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", "-b", help="One engine or several.", metavar="A,B,...", rich_help_panel=RUN_PANEL),
    ] = None,
    sizes: Annotated[
        str | None,
        typer.Option(
            help="Batch sizes, or auto: doubled until memory or throughput stops it. "
            "Default 1,10,100,300,600,1000,6000,60000, as far as the data goes.",
            metavar="N,N,...",
            rich_help_panel=MEASURING_PANEL,
        ),
    ] = None,
    phase: Annotated[str, typer.Option(help="forward, train or both.", rich_help_panel=MEASURING_PANEL)] = "both",
    include_transfer: Annotated[
        bool,
        typer.Option(
            "--include-transfer",
            help="Copy to the device, cast and scale each batch inside the clock.",
            rich_help_panel=MEASURING_PANEL,
        ),
    ] = False,
    precision: Annotated[
        str | None,
        typer.Option(help="float32, tf32 or bf16, of matrix products.", rich_help_panel=MEASURING_PANEL),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Through torch.compile (torch).", rich_help_panel=MEASURING_PANEL)
    ] = False,
    tile: Annotated[
        bool,
        typer.Option("--tile", help="Repeat the samples for sizes beyond the data.", rich_help_panel=MEASURING_PANEL),
    ] = False,
    min_time: Annotated[
        float | None,
        typer.Option(
            help="Least time for each figure; default 0.25.", metavar="SECONDS", rich_help_panel=MEASURING_PANEL
        ),
    ] = None,
    max_time: Annotated[
        float,
        typer.Option(
            help="Most time for each figure, but for a few samples of what takes long.",
            metavar="SECONDS",
            rich_help_panel=MEASURING_PANEL,
        ),
    ] = 2.0,
    repeats: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Exactly so many samples of each figure; default: until the median is known within 2 %.",
            metavar="N",
            rich_help_panel=MEASURING_PANEL,
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
        typer.Option(
            help="CPU threads; several are measured one by one.", metavar="N,N,...", rich_help_panel=RUN_PANEL
        ),
    ] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="table, json, csv or markdown; default: by the name of --output, else table.",
            metavar="FORMAT",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file for the result instead of stdout.",
            metavar="FILE",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    save_plots: Annotated[
        Path | None,
        typer.Option(
            help="Draw throughput against batch size into this directory.", metavar="DIR", rich_help_panel=OUTPUT_PANEL
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no warnings.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
) -> None:
    """Measure how batch size buys speed: each engine in a fresh process, all sizes in turn, round after round."""
    from mlcli.rendering.console import checked_format

    shown_as = checked_format(output_format or _SUFFIXES.get(output.suffix if output else "", "table"))
    if save_plots is not None:
        from mlcli.rendering.plots import require_matplotlib

        require_matplotlib()
    experiment_flags = {
        "--dataset": ("dataset.name", dataset),
        "--model": ("model.name", model),
        "--optimizer": ("optimizer.name", optimizer),
        "--limit": ("dataset.limit", limit),
    }
    asked = BenchSource(
        source, backend, experiment_flags, settings or [], device, _checked_precision(precision), data_dir
    )
    plans, run = asked.plans(runs_dir)
    bench_settings = _bench_settings(
        plans, sizes, phase, threads, precision, (min_time, max_time, repeats), (compiled, include_transfer, tile)
    )
    from mlcli.batch_bench.run import BenchTask

    has_plain_speed = bench_settings.precision in ("float32", "float64") and not compiled
    task = BenchTask(
        plans=plans,
        settings=bench_settings,
        is_default_ladder=sizes is None,
        command=asked.train_line(run, with_threads=threads is not None) if has_plain_speed else _no_line,
        run=run,
        data_directory=data_dir,
        offline=offline,
    )
    record = _run(task, quiet=quiet)
    _show(record, shown_as, output, save_plots, quiet=quiet)


def _no_line(backend: str, n_threads: int, batch_size: int) -> None:
    """`mlcli train` has neither reduced precision nor compilation."""


def _checked_precision(name: str | None) -> str | None:
    from mlcli.errors import UsageError, unknown_name

    if name is not None and name not in _PRECISIONS:
        raise UsageError(f"--precision: {unknown_name('precision', name, _PRECISIONS)}")
    return name


def _bench_settings(
    plans: Mapping[str, Plan], sizes: str | None, phase: str, threads: str | None, precision: str | None,
    times: tuple[float | None, float, int | None], switches: tuple[bool, bool, bool],
) -> BenchSettings:  # fmt: skip
    from mlcli.batch_bench.records import BenchSettings
    from mlcli.batch_bench.sizes import DEFAULT_SIZES, parse_sizes
    from mlcli.errors import UsageError, unknown_name
    from mlcli.experiment.threads import available_cores

    if phase not in _PHASES:
        raise UsageError(f"--phase: {unknown_name('phase', phase, list(_PHASES))}")
    given_min_time, max_time, repeats = times
    min_time = min(_MIN_TIME, max_time) if given_min_time is None else given_min_time
    if not 0 <= min_time <= max_time or not 0 < max_time < math.inf:
        raise UsageError(f"--min-time {min_time:g} and --max-time {max_time:g}: give seconds, the least time first")
    config = next(iter(plans.values())).config
    compiled, include_transfer, tile = switches
    return BenchSettings(
        backends=tuple(plans),
        threads=_thread_counts(threads) if threads else (config.runtime.threads or available_cores(),),
        phases=_PHASES[phase],
        sizes=parse_sizes(sizes) if sizes is not None else DEFAULT_SIZES,
        min_seconds=min_time,
        max_seconds=max_time,
        repeats=repeats,
        precision=cast("PrecisionName", precision or config.runtime.precision),
        compiled=compiled,
        include_transfer=include_transfer,
        tile=tile,
    )


def _thread_counts(text: str) -> tuple[int, ...]:
    from mlcli.errors import UsageError

    try:
        counts = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise UsageError(f"--threads {text}: give whole numbers from 1 on, e.g. 1,2")
    return counts


def _run(task: BenchTask, *, quiet: bool) -> BatchBenchRecord:
    from mlcli.batch_bench.progress import bench_progress
    from mlcli.batch_bench.run import run_batch_bench

    with bench_progress(quiet=quiet) as progress:
        return run_batch_bench(task, progress)


def _show(
    record: BatchBenchRecord, shown_as: str, output: Path | None, save_plots: Path | None, *, quiet: bool
) -> None:
    from mlcli.batch_bench.report import print_batch_bench
    from mlcli.rendering.console import print_notes, stdout_into

    with stdout_into(output):
        print_batch_bench(record, shown_as)
    paths = []
    if save_plots is not None:
        from mlcli.batch_bench.plot import save_batch_bench_plots

        paths = save_batch_bench_plots(record, save_plots)
    if not quiet:
        notes = dict.fromkeys(note for subject in record.subjects for note in subject.notes)
        print_notes([*notes, *record.warnings, *(f"drawn: {path}" for path in paths)])
