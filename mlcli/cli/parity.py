"""The options of `mlcli parity`."""

from __future__ import annotations

from typing import Annotated

from mlcli.cli import options
from mlcli.cli.options import command, option
from mlcli.parity import ParityRequest, run

parity = command(
    """Verify step by step that engines compute the same training.

    Every engine starts from the same weights and trains on the same batches in float64, without dropout. Losses and
    weights are compared after each step.

    Exit code 1 if a pair of engines differs, or if no pair can be compared. A pair that cannot be compared, because one
    engine lacks the optimizer or trains with a single fit, is listed with the reason.
    """,
    run,
    ParityRequest,
    config=options.ConfigArgument,
    backends=Annotated[str, option("--backends", help="Two or more engines to compare.", metavar="A,B,...")],
    n_steps=Annotated[int, option("--steps", help="Number of training steps.", metavar="N")],
    tolerance=Annotated[
        float, option("--tolerance", help="Largest difference of the loss of a step, in nats per sample.", metavar="X")
    ],
    explain=Annotated[
        bool,
        option(
            "--explain",
            help="Also show, for the last layer and one test sample, that the logits of every engine are x W^T + b.",
        ),
    ],
    dataset=options.DatasetName,
    model=options.ModelName,
    batch_size=options.BatchSize,
    optimizer=options.OptimizerName,
    lr=options.LearningRate,
    seed=options.Seed,
    limit=options.Limit,
    settings=options.Settings,
    device=options.Device,
    threads=options.Threads,
    data_dir=options.DataDir,
    offline=options.Offline,
    output_format=options.Format,
)
