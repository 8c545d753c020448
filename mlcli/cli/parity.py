"""`mlcli parity`: do the engines do the same mathematics?"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import (
    BatchSize,
    DataDir,
    DatasetName,
    Device,
    Format,
    LearningRate,
    Limit,
    Offline,
    OptimizerName,
    Seed,
    Settings,
    Threads,
)
from mlcli.experiment.threads import configure_threads

if TYPE_CHECKING:
    from mlcli.config.schema import ExperimentConfig
    from mlcli.parity.records import ParityReport


def parity(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file; without one, an mlp on the digits, changed by flags.")
    ] = None,
    backends: Annotated[
        str, typer.Option(help="The engines to compare, two or more.", metavar="A,B,...")
    ] = "sklearn,torch,keras",
    steps: Annotated[int, typer.Option(help="Optimizer steps to take.", metavar="N")] = 100,
    tolerance: Annotated[float, typer.Option(help="On the loss of each step, nats per sample.", metavar="X")] = 1e-8,
    dataset: DatasetName = None,
    model: Annotated[str | None, typer.Option("--model", "-m", help="logistic, mlp or cnn.")] = None,
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
    """Take the same steps with several engines, in float64, and compare losses and weights after each.

    Every engine starts from the same weights, meets the same batches, and runs its own training code. Dropout is
    off. Exit code 0 when all pairs that can be compared agree; a pair that cannot be (an optimizer that one engine
    lacks, a fit in one call) is shown with the reason. Exit code 1 when a pair differs, or none can be compared.
    """
    from mlcli.rendering.console import checked_format

    checked_format(output_format)
    names = _names(backends)
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
    experiments = _experiments(names, config, flags, settings or [])
    readable = (experiment for experiment in experiments.values() if not isinstance(experiment, str))
    n_threads = configure_threads(next(readable))
    # These load numpy, which must not happen before.
    from mlcli.parity.parity import check_parity
    from mlcli.parity.report import print_parity
    from mlcli.rendering.console import print_notes

    report = check_parity(
        experiments, n_steps=steps, tolerance=tolerance, threads=n_threads, data_directory=data_dir, offline=offline
    )
    print_notes(report.notes)
    print_parity(report, output_format)
    _judge(report)


def _names(text: str) -> list[str]:
    from mlcli.errors import UsageError
    from mlcli.registry import backend_info

    names = list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        backend_info(name)
    if len(names) < 2:
        raise UsageError(f"--backends {text}: name at least two engines, e.g. torch,keras")
    return names


def _experiments(
    backends: list[str], path: Path | None, flags: Mapping[str, object], settings: list[str]
) -> dict[str, ExperimentConfig | str]:
    """The experiment as each engine reads it, or why it cannot; the error itself where none can."""
    from mlcli.config.experiment import load_experiment
    from mlcli.errors import ConfigError

    experiments: dict[str, ExperimentConfig | str] = {}
    errors: list[ConfigError] = []
    for backend in backends:
        try:
            experiments[backend] = load_experiment(path, flags={**flags, "backend": backend}, settings=settings)
        except ConfigError as error:
            errors.append(error)
            experiments[backend] = str(error)
    if len(errors) == len(backends):
        raise errors[0]
    return experiments


def _judge(report: ParityReport) -> None:
    """MlcliError where a pair differs, or where nothing could be compared."""
    from mlcli.errors import MlcliError

    different = [pair for pair in report.pairs if pair.verdict == "different"]
    if different:
        pair, step = different[0], different[0].first_beyond
        assert step is not None  # a pair is different from its first step beyond the tolerance on
        others = f"; {len(different) - 1} more pairs differ" if len(different) > 1 else ""
        raise MlcliError(
            f"{pair.engines[0]} and {pair.engines[1]} differ: the loss by {step.loss_difference:.3g} in step "
            f"{step.step}, more than the tolerance {pair.tolerance:g}{others}"
        )
    if not any(pair.steps for pair in report.pairs):
        raise MlcliError("no two of these engines can be compared; the reasons are in the report")
