"""The options of `mlcli parity`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlcli import parity as package
from mlcli.cli.options import (
    BatchSize,
    ConfigArgument,
    DataDir,
    DatasetName,
    Device,
    Format,
    LearningRate,
    Limit,
    ModelName,
    Offline,
    OptimizerName,
    Seed,
    Settings,
    Threads,
)
from mlcli.registry import BACKENDS


def parity(
    config: ConfigArgument = None,
    backends: Annotated[str, typer.Option(help="Two or more engines to compare.", metavar="A,B,...")] = ",".join(
        BACKENDS
    ),
    steps: Annotated[int, typer.Option(help="Number of training steps.", metavar="N")] = 100,
    tolerance: Annotated[
        float, typer.Option(help="Largest difference of the loss of a step, in nats per sample.", metavar="X")
    ] = 1e-8,
    dataset: DatasetName = None,
    model: ModelName = None,
    batch_size: BatchSize = None,
    optimizer: OptimizerName = None,
    lr: LearningRate = None,
    seed: Seed = None,
    limit: Limit = None,
    settings: Settings = None,
    device: Device = None,
    threads: Threads = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    output_format: Format = "table",
) -> None:
    """Verify step by step that engines compute the same training.

    Every engine starts from the same weights and trains on the same batches in
    float64, without dropout. Losses and weights are compared after each step.

    Exit code 1 if a pair of engines differs, or if no pair can be compared.
    A pair that cannot be compared, because one engine lacks the optimizer or
    trains with a single fit, is listed with the reason.
    """
    flags = {
        "dataset.name": dataset,
        "model.name": model,
        "training.batch_size": batch_size,
        "optimizer.name": optimizer,
        "optimizer.lr": lr,
        "seed": seed,
        "dataset.limit": limit,
        "runtime.device": device,
        "runtime.threads": threads,
    }
    package.run(
        package.ParityRequest(
            backends=backends,
            config=config,
            flags=flags,
            settings=settings or (),
            n_steps=steps,
            tolerance=tolerance,
            data_dir=data_dir,
            offline=offline,
            output_format=output_format,
        )
    )
