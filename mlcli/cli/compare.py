"""`mlcli compare`: run or gather a matrix of runs and say what can be concluded from it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import OUTPUT_PANEL, RUN_PANEL, DataDir, Offline, RunsDir, Settings
from mlcli.experiment.thresholds import parse_thresholds

if TYPE_CHECKING:
    from mlcli.compare.cells import Executor
    from mlcli.compare.matrix import MatrixRequest
    from mlcli.compare.records import Comparison
    from mlcli.compare.run import MatrixOptions
    from mlcli.compare.tables import TableOptions


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
) -> None:
    """Compare variants of an experiment over seeds: better, worse, a tie, or too few runs to tell.

    With a YAML file, every engine and every value of --vary runs with every seed, each cell in a process of its own,
    round by round; cells that are finished already are reused. With runs, those that differ in the seed alone
    are one variant.
    """
    check_names(output_format, metric, executor)
    thresholds = parse_thresholds(fail_under or [], ("accuracy",))
    if save_plots is not None or output_format == "html":
        from mlcli.rendering.plots import require_matplotlib

        require_matplotlib()
    side_by_side = SideBySide(executor, address, jobs, visible_devices(gpus and executor == "local"), gpus)
    n_threads = configure_threads(threads, side_by_side)
    # These load numpy, which must not happen before.
    from mlcli.compare.comparison import compare_runs
    from mlcli.compare.matrix import MatrixRequest
    from mlcli.compare.run import MatrixOptions
    from mlcli.compare.tables import checked_options
    from mlcli.runs.find import default_runs_directory

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


_FORMATS = ("table", "json", "csv", "markdown", "html")
_EXECUTORS = ("local", "ray")


@dataclass(frozen=True)
class SideBySide:
    """Where cells run and how many at once: as asked for, but one a device where devices are given out here."""

    executor: str
    address: str | None
    asked_jobs: int
    devices: tuple[str, ...]
    wants_gpus: bool

    @property
    def jobs(self) -> int:
        return len(self.devices) or self.asked_jobs


def check_names(output_format: str, metric: str, executor: str) -> None:
    """UsageError for names that do not exist."""
    from mlcli.errors import UsageError, unknown_name

    for flag, kind, name, known in (
        ("--format", "format", output_format, _FORMATS),
        ("--metric", "metric", metric, ("accuracy",)),
        ("--executor", "executor", executor, _EXECUTORS),
    ):
        if name not in known:
            raise UsageError(f"{flag}: {unknown_name(kind, name, known)}")


def visible_devices(are_wanted: bool) -> tuple[str, ...]:
    """The CUDA devices to give out; UsageError where they are wanted and there are none."""
    from mlcli.compare.local_executor import visible_gpus

    return visible_gpus() if are_wanted else ()


def configure_threads(threads: int | None, side_by_side: SideBySide) -> int | None:
    """Threads of a cell where that is decided here: cells side by side share the cores, and tasks of Ray take one.

    Call it before numpy loads.
    """
    from mlcli.experiment.threads import available_cores, set_thread_environment

    set_thread_environment(1)  # of this process, which computes little
    if threads is not None:
        return threads
    if side_by_side.executor == "ray":
        return 1
    return max(1, available_cores() // side_by_side.jobs) if side_by_side.jobs > 1 else None


def config_path(inputs: Sequence[str]) -> Path | None:
    """The configuration file among the arguments, None where they name runs."""
    from mlcli.errors import UsageError

    configs = [text for text in inputs if text.endswith((".yaml", ".yml")) or os.path.isfile(text)]
    if configs and len(inputs) > 1:
        raise UsageError(f"{configs[0]}: give one configuration, or runs, not both")
    return Path(configs[0]) if configs else None


def backend_names(text: str | None) -> list[str]:
    """The engines of `--backends`; UsageError for one that does not exist."""
    from mlcli.registry import backend_info

    names = list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    for name in names:
        backend_info(name)
    return names


def print_dry_run(request: MatrixRequest, runs_directory: Path, output_format: str, *, retry_failed: bool) -> None:
    """Print the cells and an estimate of the time."""
    from mlcli.compare.cells import CellRunner
    from mlcli.compare.local_executor import LocalProcesses
    from mlcli.compare.matrix import plan_matrix
    from mlcli.compare.report import print_planned
    from mlcli.compare.run import plan_cells

    processes = LocalProcesses(runs_directory, request.data_directory, offline=request.offline)
    planned = plan_cells(plan_matrix(request), CellRunner(runs_directory, processes), retry_failed=retry_failed)
    print_planned(planned, "table" if output_format == "html" else output_format)


def run_request(
    request: MatrixRequest,
    options: MatrixOptions,
    side_by_side: SideBySide,
    runs_directory: Path,
    threads: int | None,
    *,
    quiet: bool,
) -> Comparison:
    """Plan the matrix, run what is missing, compare."""
    from mlcli.compare.cells import CellRunner
    from mlcli.compare.matrix import plan_matrix
    from mlcli.compare.progress import MatrixProgress
    from mlcli.compare.run import run_matrix

    cells = plan_matrix(request)
    executor: Executor
    if side_by_side.executor == "ray":
        from mlcli.compare.ray_executor import RayTasks

        executor = RayTasks(
            runs_directory,
            request.data_directory,
            offline=request.offline,
            address=side_by_side.address,
            n_cpus=threads or 1,
            n_gpus=int(side_by_side.wants_gpus),
        )
        options = replace(options, jobs=executor.n_slots)
    else:
        from mlcli.compare.local_executor import LocalProcesses

        executor = LocalProcesses(runs_directory, request.data_directory, offline=request.offline)
    return run_matrix(cells, CellRunner(runs_directory, executor), options, runs_directory, MatrixProgress(quiet=quiet))


def report(
    comparison: Comparison,
    output_format: str,
    options: TableOptions,
    output: Path | None,
    save_plots: Path | None,
    *,
    quiet: bool,
) -> None:
    """Print the notes and the comparison, and draw it where that is asked for."""
    from mlcli.compare.report import write_comparison
    from mlcli.rendering.console import print_notes

    if not quiet:
        print_notes(comparison.notes)
    write_comparison(comparison, output_format, options, output)
    if save_plots is not None:
        from mlcli.compare.plots import save_comparison_plots

        paths = save_comparison_plots(comparison, save_plots)
        if not quiet:
            print_notes([f"drawn: {path}" for path in paths])


def check_gates(
    comparison: Comparison, thresholds: Mapping[str, float], worse_than_run: str | None, runs_directory: Path
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
        from mlcli.compare.comparison import shortfalls

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
