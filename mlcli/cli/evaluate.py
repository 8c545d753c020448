"""`mlcli evaluate`: score a stored run again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from mlcli.cli.options import (
    OUTPUT_PANEL,
    RUN_PANEL,
    DataDir,
    Format,
    Offline,
    RunsDir,
)
from mlcli.experiment.threads import configure_threads
from mlcli.experiment.thresholds import check_thresholds, parse_thresholds

if TYPE_CHECKING:
    from mlcli.evaluate.evaluate import EvaluationResult
    from mlcli.experiment.stored_run import StoredRun
    from mlcli.records import SplitName

_METRICS = ("accuracy", "macro_precision", "macro_recall", "macro_f1")
_SPLITS = ("test", "validation", "train")
_N_DRAWN = 25  # mistakes in a picture where --misclassified says nothing


def evaluate(
    run: Annotated[str, typer.Argument(help="A directory, a run id, a unique prefix of one, or last.")],
    split: Annotated[str, typer.Option(help="test, validation or train.")] = "test",
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", help="Another engine with the same weights.")
    ] = None,
    dataset: Annotated[str | None, typer.Option("--dataset", "-d", help="Another dataset of the same shape.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples per prediction step.", metavar="N")] = 1024,
    misclassified: Annotated[
        int, typer.Option(min=0, help="List the N most confident mistakes.", metavar="N", rich_help_panel=OUTPUT_PANEL)
    ] = 0,
    save_plots: Annotated[
        Path | None,
        typer.Option(
            help="Draw mistakes, confusion matrix and learning curves into this directory.",
            metavar="DIR",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN_PANEL)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads of every library.", metavar="N", rich_help_panel=RUN_PANEL)
    ] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 7 when a score is lower, e.g. accuracy=0.85 or macro_f1=0.8.",
            metavar="METRIC=X",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No notes.", rich_help_panel=OUTPUT_PANEL)] = False,
) -> None:
    """Score a finished run from its directory alone, after its checksums were verified."""
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format
    from mlcli.runs.find import default_runs_directory

    checked_format(output_format)
    thresholds = parse_thresholds(fail_under or [], _METRICS)
    if save_plots is not None:
        from mlcli.rendering.plots import require_matplotlib

        require_matplotlib()
    stored = open_run(run, runs_dir or default_runs_directory())
    n_threads = configure_threads(stored.config, threads)
    # These load numpy, which must not happen before.
    from mlcli.evaluate.evaluate import EvaluationRequest
    from mlcli.evaluate.evaluate import evaluate as evaluate_workflow
    from mlcli.evaluate.report import print_evaluation
    from mlcli.rendering.console import print_notes

    result = evaluate_workflow(
        stored,
        EvaluationRequest(
            split=_checked_split(split),
            backend=backend,
            dataset=dataset,
            device=device,
            threads=n_threads,
            batch_size=batch_size,
            n_misclassified=misclassified,
            data_directory=data_dir,
            offline=offline,
        ),
    )
    if not quiet:
        print_notes(result.evaluation.notes)
    print_evaluation(result.evaluation, output_format)
    if save_plots is not None:
        _save_plots(stored, result, misclassified or _N_DRAWN, save_plots, quiet=quiet)
    check_thresholds(thresholds, _scores(result))


def _checked_split(name: str) -> SplitName:
    from mlcli.errors import UsageError, unknown_name

    if name not in _SPLITS:
        raise UsageError(f"--split: {unknown_name('split', name, _SPLITS)}")
    return cast("SplitName", name)


def _scores(result: EvaluationResult) -> dict[str, float | None]:
    evaluation = result.evaluation
    macro = evaluation.macro
    values = (evaluation.metrics.accuracy, macro.precision, macro.recall, macro.f1)
    return dict(zip(_METRICS, values, strict=True))


def _save_plots(stored: StoredRun, result: EvaluationResult, n_drawn: int, directory: Path, *, quiet: bool) -> None:
    from mlcli.evaluate.plots import save_evaluation_plots
    from mlcli.rendering.console import print_notes

    paths = save_evaluation_plots(
        result.evaluation, result.samples, result.scores, stored.preprocessing, stored.history(), n_drawn, directory
    )
    if not quiet:
        print_notes([f"drawn: {path}" for path in paths])
