"""`mlcli compare` and `mlcli receipt`: variants over several seeds, and what was controlled between runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlcli.config.flags import option_of
from mlcli.config.shipped import config_file, similar_names
from mlcli.errors import UsageError, unknown_name
from mlcli.experiment.threads import set_thread_environment
from mlcli.experiment.thresholds import Threshold, names_of, parse_thresholds
from mlcli.files import refuse_existing
from mlcli.registry import DEFAULT_METRIC, METRICS
from mlcli.rendering import OutputFormat, PlotFormat
from mlcli.rendering.plots import check_plots, require_matplotlib
from mlcli.runs import DEFAULT_RUNS_DIR
from mlcli.text import comma_separated

DEFAULT_SEEDS = "3"  # without folds
EXECUTORS = ("local", "ray")
FORMATS = (*OutputFormat, "html")


@dataclass(frozen=True)
class CompareRequest:
    """The request for a comparison."""

    inputs: Sequence[str] = ()  # one configuration, or references to existing runs; none: the default configuration

    # The matrix, for a YAML file or flags.
    backends: str = ""  # comma-separated; empty: those that the file names
    seeds: str | None = None  # a number (default: 3), or a comma-separated list; with folds: number for each fold, 1
    folds: int | None = None  # test on each of this number of parts of the samples in turn
    repeats: int | None = None  # how often the samples are divided into folds anew; 1 by default
    vary: Sequence[str] = ()  # each `key.path=value,value`
    flags: Mapping[str, object] = field(default_factory=dict)  # by dotted configuration key
    settings: Sequence[str] = ()  # each `key.path=value`

    # How the cells of the matrix run.
    executor: str = "local"
    address: str | None = None  # of the Ray cluster
    jobs: int = 1
    gpus: bool = False  # each cell gets one CUDA device, and all devices are used at a time
    device: str | None = None
    threads: int | None = None  # of each cell
    fail_fast: bool = False
    retry_failed: bool = False
    retime: bool = False  # run finished cells again too, because their times are not comparable
    dry_run: bool = False
    runs_dir: Path = DEFAULT_RUNS_DIR
    data_dir: Path | None = None
    offline: bool = False

    # What is compared and reported.
    metric: str = DEFAULT_METRIC  # by which variants are ranked and judged
    reference: str | None = None  # the start of the label of the baseline variant; None: the first variant
    allow_different_data: bool = False
    output_format: str = "table"
    output: Path | None = None
    save_plots: Path | None = None
    plot_format: str = PlotFormat.PNG
    force: bool = False  # replace files that exist
    fail_under: Sequence[str] = ()  # each `metric=X`
    fail_above: Sequence[str] = ()  # likewise, where lower is better
    fail_if_worse: Sequence[str] = ()  # references to runs of one configuration
    explain: bool = False  # print the controlled conditions and the method too
    quiet: bool = False

    @property
    def backend_names(self) -> list[str]:
        """The names in `backends`."""
        return comma_separated(self.backends)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """The thresholds of `fail_under` and `fail_above`; UsageError for a malformed one."""
        return parse_thresholds(self.fail_under, self.fail_above, names_of())

    @property
    def config_path(self) -> Path | None:
        """The configuration file among the inputs, see config.shipped.config_file; None if there is none.

        UsageError for a file together with other inputs.
        """
        files = {text: path for text in self.inputs if (path := config_file(text)) is not None}
        if files and len(self.inputs) > 1:
            raise UsageError(f"{next(iter(files))}: expected one configuration or existing runs, not both")
        return next(iter(files.values()), None)


def run(request: CompareRequest) -> None:
    """Run or find the runs of a request, compare them, and report.

    UsageError if there is nothing to compare; ThresholdError for a variant below a threshold; WorseError for one that
    is worse than the baseline runs; PartialFailureError if runs did not finish.
    """
    _check(request)
    set_thread_environment(1)  # of this process, which computes little
    # These load numpy, which must not happen before.
    from mlcli.compare import baseline, comparison, execution, matrix, next_step, report, variants

    runs_directory = request.runs_dir
    cost = None
    baseline_runs = baseline.open_baseline(request.fail_if_worse, runs_directory, request.metric)
    if request.inputs and request.config_path is None:
        given = {"--retime": request.retime, "--folds": request.folds, "--set": request.settings}
        for option in [*(name for name, value in given.items() if value), *map(option_of, request.flags)]:
            raise UsageError(f"{option}: existing runs are compared as they are; name a configuration file instead")
        with similar_names(request.inputs):
            results = variants.find_results(request.inputs, runs_directory, request.metric)
        if len(results) < 2 and not baseline_runs:
            raise UsageError(_NOTHING_TO_COMPARE)
    else:
        prepared = execution.with_threads(request)
        cells = matrix.plan_matrix(prepared, runs_directory)
        baseline.check_runs(baseline_runs, [cell.config for cell in cells])
        if request.dry_run:
            report.print_planned(execution.plan_cells(cells, prepared, runs_directory), request.output_format)
            return
        results, cost = execution.run_cells(cells, prepared, runs_directory)
    found = comparison.compare_results(
        results,
        reference=request.reference,
        allow_different_data=request.allow_different_data,
        cost=cost,
        metric=request.metric,
    )
    found = replace(found, next_step=next_step.next_step(found, request))
    report.report_comparison(found, request)
    comparison.check_thresholds(found, request, baseline_runs)


_NOTHING_TO_COMPARE = "nothing to compare: name a configuration file, --data or --dataset, or two or more runs"


def _check(request: CompareRequest) -> None:
    """UsageError for what can be refused without reading anything."""
    if request.repeats is not None and request.folds is None:
        raise UsageError("--repeats needs the number of folds: add --folds, e.g. --folds 5; --seeds repeats one split")
    if not request.inputs and not request.flags and len(request.backend_names) < 2 and not request.vary:
        raise UsageError(_NOTHING_TO_COMPARE)
    for kind, name, known in (
        ("format", request.output_format, FORMATS),
        ("executor", request.executor, EXECUTORS),
        ("metric", request.metric, tuple(METRICS)),
    ):
        if name not in known:
            raise UsageError(f"--{kind}: {unknown_name(kind, name, known)}")
    _ = request.thresholds
    if request.output is not None:
        refuse_existing(request.output, force=request.force)
    check_plots(request.save_plots, request.plot_format, force=request.force)
    if request.output_format == "html":
        require_matplotlib()


@dataclass(frozen=True)
class ReceiptRequest:
    """The request for a comparability report of finished runs."""

    runs: Sequence[str]  # references: directories, ids, unique prefixes, or last
    runs_dir: Path = DEFAULT_RUNS_DIR
    output_format: str = "table"


def run_receipt(request: ReceiptRequest) -> None:
    """Print the comparability report of finished runs.

    UsageError for fewer than two runs, and for one that is missing or unfinished; DataError for one with altered files.
    """
    from mlcli.compare import report
    from mlcli.compare.receipt import comparability_report, facts_of
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import find_run

    checked_format(request.output_format)
    directory = request.runs_dir
    receipt = comparability_report([facts_of(open_run(find_run(run, directory))) for run in request.runs])
    report.print_receipt(receipt, request.output_format)
