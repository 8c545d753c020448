"""`mlcli train`."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from mlcli.cli.options import (
    EXPERIMENT_PANEL,
    OUTPUT_PANEL,
    RUN_PANEL,
    Backend,
    BatchSize,
    ConfigArgument,
    DataDir,
    DatasetName,
    Device,
    FailUnder,
    Format,
    LearningRate,
    Limit,
    ModelName,
    Offline,
    OptimizerName,
    Quiet,
    RunsDir,
    Seed,
    Settings,
    Threads,
)
from mlcli.train import TrainRequest, run

_experiment = partial(typer.Option, rich_help_panel=EXPERIMENT_PANEL)
_execution = partial(typer.Option, rich_help_panel=RUN_PANEL)
_output = partial(typer.Option, rich_help_panel=OUTPUT_PANEL)

Epochs = Annotated[int | None, _experiment("--epochs", help="Number of epochs.", metavar="N")]
InitFrom = Annotated[
    str | None,
    _experiment(
        "--init-from",
        help="Start from the weights of a finished run: a directory, a run id, a unique prefix of one, or last.",
        metavar="RUN",
    ),
]
Deterministic = Annotated[bool, _execution("--deterministic", help="Use deterministic algorithms on GPUs too; slower.")]
Name = Annotated[str | None, _execution("--name", help="Name of the run.")]
Out = Annotated[Path | None, _execution("--out", help="The run directory itself; it must not exist.", metavar="DIR")]
IfNeeded = Annotated[
    bool, _execution("--if-needed", help="Report a finished run of the same experiment instead of repeating it.")
]
Resume = Annotated[
    str | None,
    _execution(
        "--resume",
        help="Resume an interrupted run from its last checkpoint; the result is bit-identical. A directory, a run id, "
        "a unique prefix of one, or last, the newest unfinished run.",
        metavar="RUN",
    ),
]
CheckpointInterval = Annotated[
    str,
    _execution(
        "--checkpoint-every",
        help="Interval between checkpoints, e.g. 500steps, 60s, 1epoch or never; auto: at ends of epochs and every "
        "minute, for at most 1 % of the time.",
        metavar="INTERVAL",
    ),
]
PrintConfig = Annotated[bool, _output("--print-config", help="Print the resolved configuration and exit.")]
DryRun = Annotated[bool, _output("--dry-run", help="Show the plan and exit.")]
Verbose = Annotated[bool, _output("--verbose", "-v", help="Log each stage.")]


def train(
    config: ConfigArgument = None,
    backend: Backend = None,
    dataset: DatasetName = None,
    model: ModelName = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    optimizer: OptimizerName = None,
    seed: Seed = None,
    limit: Limit = None,
    init_from: InitFrom = None,
    settings: Settings = None,
    device: Device = None,
    threads: Threads = None,
    deterministic: Deterministic = False,
    name: Name = None,
    out: Out = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    if_needed: IfNeeded = False,
    resume: Resume = None,
    checkpoint_every: CheckpointInterval = "auto",
    print_config: PrintConfig = False,
    dry_run: DryRun = False,
    output_format: Format = "table",
    fail_under: FailUnder = None,
    quiet: Quiet = False,
    verbose: Verbose = False,
) -> None:
    """Train one experiment on one engine and write a run directory."""
    flags = {
        "backend": backend,
        "dataset.name": dataset,
        "model.name": model,
        "training.epochs": epochs,
        "training.batch_size": batch_size,
        "optimizer.name": optimizer,
        "optimizer.lr": lr,
        "seed": seed,
        "dataset.limit": limit,
        "runtime.device": device,
        "runtime.threads": threads,
        "runtime.deterministic": deterministic or None,
        "name": name,
        "init_from.run": init_from,
    }
    run(
        TrainRequest(
            config=config,
            flags=flags,
            settings=settings or (),
            resume=resume,
            runs_dir=runs_dir,
            out=out,
            data_dir=data_dir,
            offline=offline,
            if_needed=if_needed,
            checkpoint_every=checkpoint_every,
            print_config=print_config,
            dry_run=dry_run,
            output_format=output_format,
            fail_under=fail_under or (),
            quiet=quiet,
            verbose=verbose,
        )
    )
