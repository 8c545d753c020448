"""The report and the progress bar of `mlcli predict`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mlcli.predict.predict import OnBatch, Prediction
from mlcli.rendering.console import message_console
from mlcli.rendering.tables import Fields, print_summary

_SCHEMA_VERSION = 1


def print_prediction(prediction: Prediction, output_format: str) -> None:
    """Print counts and times, not the predictions themselves, to stdout."""
    title = f"{prediction.n_samples:,} samples predicted with {prediction.backend}"
    document = asdict(prediction)
    row = {key: value for key, value in document.items() if key not in ("counts", "notes")}
    row |= {f"n_{name}": n for name, n in prediction.counts.items()}
    document = {"schema_version": _SCHEMA_VERSION, **document}
    print_summary(title, _sections(prediction), row, document, output_format)


def _sections(prediction: Prediction) -> list[Fields]:
    counts = [(name, f"{n:,}  ({n / prediction.n_samples:.1%})") for name, n in prediction.counts.items()]
    times = [
        ("predict", f"{prediction.predict_seconds:.3f} s"),
        ("read, predict and write", f"{prediction.total_seconds:.3f} s"),
        ("samples/s", f"{prediction.n_samples / prediction.total_seconds:,.0f}"),
    ]
    context = [("device", prediction.device), ("threads", str(prediction.threads))]
    return [counts, times, [*context, ("run", prediction.run_id), ("output", prediction.output)]]


@contextmanager
def progress_bar(*, quiet: bool) -> Iterator[OnBatch]:
    """Show a progress bar if stderr is a terminal; yield the function to call after every batch."""
    console = message_console()
    columns = (TextColumn("predicting"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn())
    is_hidden = quiet or not console.is_interactive
    with Progress(*columns, console=console, transient=True, disable=is_hidden) as progress:
        task = progress.add_task("", total=None)
        yield lambda n_done, n_samples: progress.update(task, completed=n_done, total=n_samples)
