"""The options of `mlcli train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from mlcli.cli import options
from mlcli.cli.completion import completed_runs, completed_unfinished_runs
from mlcli.cli.options import RUN_REFERENCE, command, execution, experiment, output
from mlcli.train import TrainRequest, run

train = command(
    """Train one experiment on one engine and write a run directory.

    Examples:
      mlcli train --dataset iris --model logistic --backend sklearn
      mlcli train --data penguins.csv --target species --backend torch
      mlcli train digits_mlp --backend torch --epochs 5 --lr 0.01
      mlcli train digits_mlp --set 'model.hidden=[128,64]' --epochs 5
      mlcli train digits_mlp --backend keras --summary
      mlcli train --resume last
    """,
    run,
    TrainRequest,
    config=options.ConfigArgument,
    backend=options.Backend,
    dataset=options.DatasetName,
    **options.OWN_DATA,
    model=options.ModelName,
    epochs=Annotated[int | None, experiment("--epochs", help="Number of epochs.", metavar="N")],
    batch_size=options.BatchSize,
    lr=options.LearningRate,
    optimizer=options.OptimizerName,
    seed=options.Seed,
    limit=options.Limit,
    init_from=Annotated[
        str | None,
        experiment(
            "--init-from",
            help=f"Start from the weights of a finished run: {RUN_REFERENCE}.",
            metavar="RUN",
            complete=completed_runs,
        ),
    ],
    settings=options.Settings,
    device=options.Device,
    threads=options.Threads,
    deterministic=Annotated[
        bool, execution("--deterministic", help="Use deterministic algorithms on GPUs too; slower.")
    ],
    name=Annotated[str | None, execution("--name", help="Name of the run.")],
    out=Annotated[Path | None, execution("--out", help="The run directory itself; it must not exist.", metavar="DIR")],
    runs_dir=options.RunsDir,
    data_dir=options.DataDir,
    offline=options.Offline,
    if_needed=Annotated[
        bool, execution("--if-needed", help="Report a finished run of the same experiment instead of repeating it.")
    ],
    resume=Annotated[
        str | None,
        execution(
            "--resume",
            help="Resume an interrupted run from its last checkpoint; the result is bit-identical. "
            f"The run is {RUN_REFERENCE}, the newest unfinished run.",
            metavar="RUN",
            complete=completed_unfinished_runs,
        ),
    ],
    checkpoint_every=Annotated[
        str,
        execution(
            "--checkpoint-every",
            help="Interval between checkpoints, e.g. 500steps, 60s, 1epoch or never; auto: at ends of epochs and every "
            "minute, for at most 1 % of the time.",
            metavar="INTERVAL",
        ),
    ],
    print_config=Annotated[bool, output("--print-config", help="Print the resolved configuration as YAML and exit.")],
    dry_run=Annotated[bool, output("--dry-run", help="Show the plan and exit.")],
    summary=Annotated[
        bool, output("--summary", help="Show the layers of the model, with their shapes and parameters, and exit.")
    ],
    output_format=options.Format,
    fail_under=options.FailUnder,
    fail_above=options.FailAbove,
    log_file=options.LogFile,
    quiet=options.Quiet,
    verbose=Annotated[bool, output("--verbose", "-v", help="Log each stage.")],
)
