"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.errors import ThresholdError, UsageError, unknown_name

if TYPE_CHECKING:
    from mlcli.records import RunRecord


EXPERIMENT_PANEL = "The experiment"
RUN_PANEL = "The run"
OUTPUT_PANEL = "Output"

DatasetName = Annotated[
    str | None,
    typer.Option("--dataset", "-d", help="iris, digits, mnist or fashion.", rich_help_panel=EXPERIMENT_PANEL),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", "-m", help="logistic, mlp, cnn or estimator.", rich_help_panel=EXPERIMENT_PANEL),
]
BatchSize = Annotated[
    int | None, typer.Option("--batch-size", help="Samples per step.", metavar="N", rich_help_panel=EXPERIMENT_PANEL)
]
OptimizerName = Annotated[
    str | None,
    typer.Option("--optimizer", help="sgd, adam, adamw, rmsprop or lbfgs.", rich_help_panel=EXPERIMENT_PANEL),
]
LearningRate = Annotated[
    float | None, typer.Option("--lr", help="Learning rate.", metavar="RATE", rich_help_panel=EXPERIMENT_PANEL)
]
Seed = Annotated[
    int | None,
    typer.Option(
        "--seed",
        help="Governs initial weights, batch order and dropout.",
        metavar="N",
        rich_help_panel=EXPERIMENT_PANEL,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option(
        "--limit", help="Use the first N training samples only.", metavar="N", rich_help_panel=EXPERIMENT_PANEL
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        help="Set any key, e.g. optimizer.momentum=0.9; may be repeated.",
        metavar="KEY=VALUE",
        rich_help_panel=EXPERIMENT_PANEL,
    ),
]
Device = Annotated[
    str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", rich_help_panel=RUN_PANEL)
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", help="CPU threads of every library.", metavar="N", rich_help_panel=RUN_PANEL),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(
        "--runs-dir",
        help="Where runs are kept; default runs, or MLCLI_RUNS_DIR.",
        metavar="DIR",
        rich_help_panel=RUN_PANEL,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir", help="Where datasets are kept; or MLCLI_DATA_DIR.", metavar="DIR", rich_help_panel=RUN_PANEL
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Never use the network; or MLCLI_OFFLINE=1.", rich_help_panel=RUN_PANEL)
]
Format = Annotated[
    str,
    typer.Option(
        "--format", "-f", help="table, json, csv or markdown.", metavar="FORMAT", rich_help_panel=OUTPUT_PANEL
    ),
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=OUTPUT_PANEL)]


_SPLITS = {"accuracy": "test", "validation_accuracy": "validation", "train_accuracy": "train"}


def parse_thresholds(texts: Sequence[str], metrics: Sequence[str] = tuple(_SPLITS)) -> dict[str, float]:
    """Thresholds by metric from texts like `accuracy=0.85`; UsageError for anything else."""
    thresholds = {}
    for text in texts:
        name, separator, number = text.partition("=")
        if name not in metrics:
            raise UsageError(f"--fail-under {text}: {unknown_name('metric', name, list(metrics))}")
        try:
            value = float(number)
        except ValueError:
            value = -1.0
        if not separator or not 0 <= value <= 1:
            raise UsageError(f"--fail-under {text}: give a share between 0 and 1, e.g. {name}=0.85")
        thresholds[name] = value
    return thresholds


def check_thresholds(thresholds: Mapping[str, float], record: RunRecord) -> None:
    """ThresholdError naming every score that is lower than asked, or that the run does not have."""
    missed = []
    for name, least in thresholds.items():
        metrics = record.metrics.get(_SPLITS[name])
        if metrics is None:
            missed.append(f"{name} does not exist: the run has no {_SPLITS[name]} split")
        else:
            missed += _missed(name, metrics.accuracy, least)
    _raise(missed)


def check_scores(thresholds: Mapping[str, float], scores: Mapping[str, float | None]) -> None:
    """ThresholdError naming every score that is lower than asked; None, a score that does not exist, is lower."""
    _raise([line for name, least in thresholds.items() for line in _missed(name, scores[name], least)])


def _missed(name: str, value: float | None, least: float) -> list[str]:
    if value is None:
        return [f"{name} does not exist"]
    return [f"{name} {value:.4f} is below {least:g}"] if value < least else []


def _raise(missed: Sequence[str]) -> None:
    if missed:
        raise ThresholdError("--fail-under: " + "; ".join(missed))
