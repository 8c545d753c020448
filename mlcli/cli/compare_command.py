"""`mlcli compare`: run or gather a matrix of runs and say what can be concluded from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import OUTPUT_PANEL, RUN_PANEL, DataDir, Debug, Offline, RunsDir, Settings
from mlcli.cli.thresholds import parse_thresholds

if TYPE_CHECKING:
    from mlcli.report.compare_tables import TableOptions
    from mlcli.statistics.comparison import Comparison
    from mlcli.workflows.compare_matrix import MatrixRequest
    from mlcli.workflows.compare_run import MatrixOptions

MATRIX_PANEL = "The matrix"
_FORMATS = ("table", "json", "csv", "markdown", "html")


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
    from mlcli.runs import default_runs_directory

    _check_names(output_format, metric)
    thresholds = parse_thresholds(fail_under or [], ("accuracy",))
    if save_plots is not None or output_format == "html":
        from mlcli.report.drawing import require_matplotlib

        require_matplotlib()
    n_threads = _settle_threads(threads, jobs)
    from mlcli.report.compare_tables import checked_options

    options = checked_options(columns, sort, only_changed=only_changed)
    runs_directory = runs_dir or default_runs_directory()
    path = _config_path(inputs or [])
    if inputs and path is None:
        from mlcli.workflows.compare import compare_runs

        comparison = compare_runs(
            inputs, runs_directory, reference=reference, allow_different_data=allow_different_data
        )
    else:
        from mlcli.workflows.compare_matrix import MatrixRequest
        from mlcli.workflows.compare_run import MatrixOptions

        devices = _devices() if gpus else ()
        request = MatrixRequest(
            path,
            backends=_names(backends),
            seeds=seeds,
            vary=vary or (),
            settings=settings or (),
            flags={"runtime.device": device, "runtime.threads": n_threads},
            data_directory=data_dir,
            offline=offline,
        )
        found = _matrix(
            request,
            MatrixOptions(len(devices) or jobs, devices, fail_fast, retry_failed, reference, allow_different_data),
            runs_directory,
            (dry_run, quiet),
            output_format,
        )
        if found is None:
            return
        comparison = found
    _report(comparison, output_format, options, output, save_plots, quiet=quiet)
    _check_gates(comparison, thresholds, fail_if_worse, runs_directory)


def _check_names(output_format: str, metric: str) -> None:
    from mlcli.errors import UsageError, unknown_name

    if output_format not in _FORMATS:
        raise UsageError(f"--format: {unknown_name('format', output_format, _FORMATS)}")
    if metric != "accuracy":
        raise UsageError(f"--metric: {unknown_name('metric', metric, ['accuracy'])}")


def _settle_threads(threads: int | None, jobs: int) -> int | None:
    """Threads of a cell where that is decided here: cells side by side share the cores. Call it before numpy loads."""
    from mlcli.workflows.threads import available_cores, set_thread_environment

    n_threads = threads or (max(1, available_cores() // jobs) if jobs > 1 else None)
    set_thread_environment(1)  # of this process, which computes little
    return n_threads


def _config_path(inputs: Sequence[str]) -> Path | None:
    """The configuration file among the arguments, None where they name runs."""
    from mlcli.errors import UsageError

    configs = [text for text in inputs if text.endswith((".yaml", ".yml")) or Path(text).is_file()]
    if configs and len(inputs) > 1:
        raise UsageError(f"{configs[0]}: give one configuration, or runs, not both")
    return Path(configs[0]) if configs else None


def _names(text: str | None) -> list[str]:
    from mlcli.engines.registry import backend_info

    names = list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    for name in names:
        backend_info(name)
    return names


def _devices() -> tuple[str, ...]:
    from mlcli.workflows.compare_devices import visible_gpus

    return visible_gpus()


def _matrix(
    request: MatrixRequest,
    options: MatrixOptions,
    runs_directory: Path,
    flags: tuple[bool, bool],
    output_format: str,
) -> Comparison | None:
    """Plan and run; None after a dry run."""
    from mlcli.workflows.compare_cells import CellRunner
    from mlcli.workflows.compare_matrix import plan_matrix

    is_dry_run, is_quiet = flags
    cells = plan_matrix(request)
    runner = CellRunner(runs_directory, request.data_directory, offline=request.offline)
    if is_dry_run:
        from mlcli.report.compare_report import print_planned
        from mlcli.workflows.compare_dry_run import plan_cells

        planned = plan_cells(cells, runner, retry_failed=options.retry_failed)
        print_planned(planned, "table" if output_format == "html" else output_format)
        return None
    from mlcli.report.compare_progress import MatrixProgress
    from mlcli.workflows.compare_run import run_matrix

    return run_matrix(cells, runner, options, runs_directory, MatrixProgress(quiet=is_quiet))


def _report(
    comparison: Comparison,
    output_format: str,
    options: TableOptions,
    output: Path | None,
    save_plots: Path | None,
    *,
    quiet: bool,
) -> None:
    from mlcli.report.compare_output import write_comparison
    from mlcli.report.notes import print_notes

    if not quiet:
        print_notes(comparison.notes)
    write_comparison(comparison, output_format, options, output)
    if save_plots is not None:
        from mlcli.report.compare_plots import save_comparison_plots

        paths = save_comparison_plots(comparison, save_plots)
        if not quiet:
            print_notes([f"drawn: {path}" for path in paths])


def _check_gates(
    comparison: Comparison, thresholds: dict[str, float], worse_than_run: str | None, runs_directory: Path
) -> None:
    """ThresholdError for a variant that is too low, PartialFailureError where cells failed."""
    from mlcli.errors import PartialFailureError, ThresholdError

    missed = []
    for variant in comparison.variants:
        mean = comparison.means[variant.label]["accuracy"]
        if mean and mean.mean < thresholds.get("accuracy", 0.0):
            missed.append(
                f"--fail-under: accuracy {mean.mean:.4f} of {variant.label} is below {thresholds['accuracy']:g}"
            )
    if worse_than_run is not None:
        from mlcli.workflows.compare import shortfalls

        missed += [
            f"--fail-if-worse: {found.variant} is {-100 * found.difference:.2f} points less accurate than "
            f"{worse_than_run} (p = {found.corrected_p:.2g})"
            for found in shortfalls(comparison, worse_than_run, runs_directory)
        ]
    if missed:
        raise ThresholdError("\n".join(missed))
    n_failed = sum(len(variant.failures) for variant in comparison.variants)
    if n_failed:
        n_runs = n_failed + sum(len(variant.runs) for variant in comparison.variants)
        raise PartialFailureError(f"{n_failed} of {n_runs} runs did not finish; the reasons are in the table")
