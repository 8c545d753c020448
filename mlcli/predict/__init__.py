"""`mlcli predict`: predict the class of new samples with a stored run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mlcli.experiment.threads import configure_threads
from mlcli.runs import DEFAULT_RUNS_DIR

# For help texts, which must not import the readers; a test compares them.
INPUT_SUFFIXES = (".npy", ".npz", ".csv", ".parquet")


@dataclass(frozen=True)
class PredictRequest:
    """What to predict, where to write it, and how to report it. None: as in the run."""

    run: str  # a directory, a run id, a unique prefix of one, or "last"
    input: Path
    output: Path
    array: str | None = None  # the name of an array in an .npz file; None for `x` or the only one
    keep: tuple[str, ...] = ()  # columns of a table to carry to the output
    force: bool = False  # replace an existing output
    backend: str | None = None
    device: str | None = None
    threads: int | None = None
    batch_size: int = 1024  # samples per call of the engine
    runs_dir: Path = DEFAULT_RUNS_DIR
    output_format: str = "table"  # of the report
    quiet: bool = False  # neither progress nor notes


def run(request: PredictRequest) -> None:
    """Write the predictions to the output file and a report to stdout."""
    from mlcli.experiment.stored_run import open_run
    from mlcli.rendering.console import checked_format, print_notes, progress_bar
    from mlcli.runs.find import find_run

    checked_format(request.output_format)
    stored = open_run(find_run(request.run, request.runs_dir))
    threads = configure_threads(stored.config.runtime.threads, request.threads)
    # Only now: these load numpy, which reads the thread count when it is loaded.
    from mlcli.predict.predict import predict, print_prediction

    with progress_bar("predicting", quiet=request.quiet) as on_batch:
        prediction = predict(stored, replace(request, threads=threads), on_batch)
    if not request.quiet:
        print_notes(prediction.notes)
    print_prediction(prediction, request.output_format)
