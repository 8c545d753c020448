"""The options of `mlcli parity`."""

from __future__ import annotations

from typing import Annotated

from mlcli.cli import options
from mlcli.cli.options import command, output, verification
from mlcli.parity import ParityRequest, run

parity = command(
    """Verify step by step that engines compute the same training.

    Every engine starts from the same weights and trains on the same batches in float64, without dropout. Losses and
    weights are compared after each step.

    Exit code 1 if a pair of engines differs, or if no pair can be compared. A pair that cannot be compared, because one
    engine lacks the optimizer or trains with a single fit, is listed with the reason.

    Examples:
      mlcli parity --steps 50
      mlcli parity --dataset iris --model logistic --explain
      mlcli parity fashion_mlp --backend torch,keras --optimizer rmsprop
    """,
    run,
    ParityRequest,
    config=options.ConfigArgument,
    backends=options.Backends,
    n_steps=Annotated[int, verification("--steps", help="Number of training steps.", metavar="N")],
    tolerance=Annotated[
        float,
        verification("--tolerance", help="Largest difference of the loss of a step, in nats per sample.", metavar="X"),
    ],
    explain=Annotated[
        bool,
        output(
            "--explain",
            help="Also show, for the last layer and one test sample, that the logits of every engine are x W^T + b.",
        ),
    ],
    dataset=options.DatasetName,
    **options.OWN_DATA,
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
    quiet=options.Quiet,
)
