"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
