"""Score a stored run: metrics, scores per class, confusion matrix, mistakes and plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlcli.errors import UsageError, unknown_name
from mlcli.experiment.threads import configure_threads
from mlcli.experiment.thresholds import check_thresholds, names_of, parse_thresholds
from mlcli.rendering import PlotFormat
from mlcli.runs import DEFAULT_RUNS_DIR

SPLITS = ("train", "validation", "test")
MACRO_SCORES = ("macro_precision", "macro_recall")  # which thresholds can use too, beside the metrics
_N_PLOTTED = 25  # mistakes in the plot, if n_misclassified is 0


@dataclass(frozen=True)
class EvaluateRequest:
    """What to score and how to report it. backend, dataset, device and threads: those of the run if None."""

    run: str  # a directory, a run id, a unique prefix of one, or "last"
    runs_dir: Path = DEFAULT_RUNS_DIR
    split: str | None = None  # None: test, and all of a table that is not the one of the run
    backend: str | None = None
    dataset: str | None = None  # must have samples of the same shape
    data: Path | None = None  # a file like that of the run, for a run on data of its own; None: the file of the run
    on_bad: str | None = None  # stop or skip, for damaged images and rows; None: as in the run
    device: str | None = None
    threads: int | None = None
    batch_size: int = 1024  # samples per prediction step
    data_dir: Path | None = None
    offline: bool = False
    n_misclassified: int = 0  # mistakes to list, the most confident first
    output_format: str = "table"
    output: Path | None = None  # file for the label, the prediction and the scores of every sample
    plots_dir: Path | None = None
    plot_format: str = PlotFormat.PNG
    force: bool = False  # replace an output or plots that exist
    fail_under: Sequence[str] = ()  # thresholds like "accuracy=0.85"
    fail_above: Sequence[str] = ()  # likewise, where lower is better
    quiet: bool = False  # print no notes


def run(request: EvaluateRequest) -> None:
    """Evaluate, print the report on stdout and write the plots; ThresholdError if a score is below its threshold."""
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format, print_notes, stage_line
    from mlcli.rendering.plots import check_plots
    from mlcli.rendering.score_files import check_output
    from mlcli.runs.find import find_run

    output_format = checked_format(request.output_format)
    thresholds = parse_thresholds(request.fail_under, request.fail_above, names_of(others=MACRO_SCORES))
    if request.split is not None and request.split not in SPLITS:
        raise UsageError(f"--split: {unknown_name('split', request.split, SPLITS)}")
    if request.output is not None:
        check_output(request.output, force=request.force)
    check_plots(request.plots_dir, request.plot_format, force=request.force)
    stored = open_run(find_run(request.run, request.runs_dir))
    threads = configure_threads(stored.config.runtime.threads, request.threads)

    # These import numpy, which reads the thread count when it is imported.
    from mlcli.evaluate.evaluate import evaluate, write_scores
    from mlcli.evaluate.plots import save_evaluation_plots
    from mlcli.evaluate.report import print_evaluation

    with stage_line(quiet=request.quiet) as on_stage:
        result = evaluate(stored, replace(request, threads=threads), on_stage)
    notes = list(result.evaluation.notes)
    if request.output is not None:
        write_scores(result, request.output)
        notes.append(f"wrote the scores of {len(result.samples):,} samples to {request.output}")
    if not request.quiet:
        print_notes(notes)
    print_evaluation(result.evaluation, output_format)
    if request.plots_dir is not None:
        n_mistakes = request.n_misclassified or _N_PLOTTED
        paths = save_evaluation_plots(
            result, stored.files.history(), n_mistakes, request.plots_dir, request.plot_format
        )
        if not request.quiet:
            print_notes([f"wrote {len(paths)} plots to {request.plots_dir}"])
    check_thresholds(thresholds, result.evaluation.scores, result.evaluation.metrics.undefined)
