"""What `mlcli compare` does, step by step."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcli.report.compare_tables import TableOptions
    from mlcli.statistics.comparison import Comparison
    from mlcli.workflows.compare_cells import Executor
    from mlcli.workflows.compare_matrix import MatrixRequest
    from mlcli.workflows.compare_run import MatrixOptions

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
    from mlcli.workflows.compare_devices import visible_gpus

    return visible_gpus() if are_wanted else ()


def settle_threads(threads: int | None, side_by_side: SideBySide) -> int | None:
    """Threads of a cell where that is decided here: cells side by side share the cores, and tasks of Ray take one.

    Call it before numpy loads.
    """
    from mlcli.workflows.threads import available_cores, set_thread_environment

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
    from mlcli.engines.registry import backend_info

    names = list(dict.fromkeys(name.strip() for name in (text or "").split(",") if name.strip()))
    for name in names:
        backend_info(name)
    return names


def print_dry_run(request: MatrixRequest, runs_directory: Path, output_format: str, *, retry_failed: bool) -> None:
    """Print the cells and an estimate of the time."""
    from mlcli.report.compare_report import print_planned
    from mlcli.workflows.compare_cells import CellRunner
    from mlcli.workflows.compare_dry_run import plan_cells
    from mlcli.workflows.compare_local import LocalProcesses
    from mlcli.workflows.compare_matrix import plan_matrix

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
    from mlcli.report.compare_progress import MatrixProgress
    from mlcli.workflows.compare_cells import CellRunner
    from mlcli.workflows.compare_matrix import plan_matrix
    from mlcli.workflows.compare_run import run_matrix

    cells = plan_matrix(request)
    executor: Executor
    if side_by_side.executor == "ray":
        from mlcli.workflows.compare_ray import RayTasks

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
        from mlcli.workflows.compare_local import LocalProcesses

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
