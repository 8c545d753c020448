"""`mlcli train`: parse the flags, plan, run, report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlcli.cli.options import (
    EXPERIMENT_PANEL,
    OUTPUT_PANEL,
    RUN_PANEL,
    BatchSize,
    DataDir,
    DatasetName,
    Device,
    Format,
    LearningRate,
    Limit,
    ModelName,
    Offline,
    OptimizerName,
    RunsDir,
    Seed,
    Settings,
    Threads,
)
from mlcli.errors import UsageError
from mlcli.experiment.threads import configure_threads
from mlcli.experiment.thresholds import check_thresholds, parse_thresholds

if TYPE_CHECKING:
    from mlcli.config.schema import ExperimentConfig
    from mlcli.experiment.plan import Plan
    from mlcli.records import RunRecord
    from mlcli.train.checkpointing import CheckpointEvery
    from mlcli.train.trainer import RunPaths, TrainResult


_SPLITS = {"accuracy": "test", "validation_accuracy": "validation", "train_accuracy": "train"}


def train(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file, e.g. configs/digits_mlp.yaml; without one, defaults and flags.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option("--backend", "-b", help="sklearn, torch or keras.", rich_help_panel=EXPERIMENT_PANEL)
    ] = None,
    dataset: DatasetName = None,
    model: ModelName = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes over the training data.", metavar="N", rich_help_panel=EXPERIMENT_PANEL)
    ] = None,
    batch_size: BatchSize = None,
    lr: LearningRate = None,
    optimizer: OptimizerName = None,
    seed: Seed = None,
    limit: Limit = None,
    init_from: Annotated[
        str | None,
        typer.Option(
            help="Start from the weights of a finished run: a directory, a run id, a unique prefix of one, or last.",
            metavar="RUN",
            rich_help_panel=EXPERIMENT_PANEL,
        ),
    ] = None,
    settings: Settings = None,
    device: Device = None,
    threads: Threads = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", help="Deterministic algorithms on GPUs too; slower.", rich_help_panel=RUN_PANEL
        ),
    ] = False,
    name: Annotated[str | None, typer.Option(help="Name of the run.", rich_help_panel=RUN_PANEL)] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The run directory itself; it must not exist yet.", metavar="DIR", rich_help_panel=RUN_PANEL),
    ] = None,
    runs_dir: RunsDir = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    if_needed: Annotated[
        bool,
        typer.Option(
            "--if-needed", help="Report an identical finished run instead of repeating it.", rich_help_panel=RUN_PANEL
        ),
    ] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            help="Go on with a run that was stopped, where it was, to the same bits: a directory, a run id, a unique "
            "prefix of one, or last, the newest unfinished one.",
            metavar="RUN",
            rich_help_panel=RUN_PANEL,
        ),
    ] = None,
    checkpoint_every: Annotated[
        str,
        typer.Option(
            help="How often a checkpoint is made, e.g. 500steps, 60s, 1epoch, never; auto: at ends of epochs and every "
            "minute, for at most 1 % of the time.",
            metavar="INTERVAL",
            rich_help_panel=RUN_PANEL,
        ),
    ] = "auto",
    print_config: Annotated[
        bool,
        typer.Option("--print-config", help="Print the resolved configuration and stop.", rich_help_panel=OUTPUT_PANEL),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Log what would be run, and stop.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    output_format: Format = "table",
    fail_under: Annotated[
        list[str] | None,
        typer.Option(
            help="Exit with 7 when a score is lower, e.g. accuracy=0.85.",
            metavar="METRIC=X",
            rich_help_panel=OUTPUT_PANEL,
        ),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, no notes.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Tell every stage.", rich_help_panel=OUTPUT_PANEL)
    ] = False,
) -> None:
    """Train one experiment on one engine and leave a run directory behind."""
    from mlcli.config.experiment import load_experiment
    from mlcli.rendering.console import checked_format
    from mlcli.train.checkpointing import parse_checkpoint_every

    checked_format(output_format)
    thresholds = parse_thresholds(fail_under or [], tuple(_SPLITS))
    every = parse_checkpoint_every(checkpoint_every)
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
    if resume is not None:
        unused = {"--set": settings, "--out": out, "--if-needed": if_needed, "--print-config": print_config}
        refuse_with_resume(resume, config, flags, unused | {"--dry-run": dry_run})
        places = _places(runs_dir, None, data_dir, offline)
        result = resumed(resume, places, every, quiet=quiet, verbose=verbose)
    else:
        experiment = load_experiment(config, flags=flags, settings=settings or [])
        n_threads = configure_threads(experiment)
        places = _places(runs_dir, out, data_dir, offline)
        plan = _planned(experiment, places)
        if print_config or dry_run:
            _show(plan, n_threads, output_format, as_config=print_config)
            return
        result = _train(plan, places, n_threads, every, training_flags=(if_needed, quiet, verbose))
    from mlcli.runs.report import print_run

    print_run(result.record, result.directory, output_format, is_reused=result.is_reused)
    check_thresholds(thresholds, _accuracies(result.record))


def _accuracies(record: RunRecord) -> dict[str, float | None]:
    metrics = {name: record.metrics.get(split) for name, split in _SPLITS.items()}
    return {name: found.accuracy if found else None for name, found in metrics.items()}


def _places(runs_dir: Path | None, out: Path | None, data_dir: Path | None, offline: bool) -> RunPaths:
    from mlcli.runs.find import default_runs_directory
    from mlcli.train.trainer import RunPaths

    return RunPaths(runs_dir or default_runs_directory(), out, data_dir, offline)


def _planned(experiment: ExperimentConfig, places: RunPaths) -> Plan:
    from mlcli.experiment.plan import make_plan

    plan = make_plan(experiment)
    if experiment.init_from:
        from mlcli.experiment.initial_weights import pin_initial_weights

        plan = pin_initial_weights(plan, places.runs_directory)
    return plan


def _show(plan: Plan, n_threads: int, output_format: str, *, as_config: bool) -> None:
    if as_config:
        from mlcli.config.dump import to_yaml

        typer.echo(to_yaml(plan.config), nl=False)
    else:
        from mlcli.experiment.plan import describe_plan
        from mlcli.train.report import print_plan

        print_plan(describe_plan(plan, n_threads), plan.config, output_format)


def _train(
    plan: Plan, places: RunPaths, n_threads: int, every: CheckpointEvery, training_flags: tuple[bool, bool, bool]
) -> TrainResult:
    from mlcli.train.progress import training_progress
    from mlcli.train.trainer import train as train_workflow

    if_needed, quiet, verbose = training_flags
    with training_progress(quiet=quiet, verbose=verbose) as progress:
        return train_workflow(plan, places, n_threads, progress, if_needed=if_needed, every=every)


def refuse_with_resume(
    run: str, config: Path | None, flags: Mapping[str, object], others: Mapping[str, object]
) -> None:
    """UsageError where something is given that would make it another experiment. flags: by key of the configuration."""
    given = [str(config)] if config else []
    given += [key for key, value in flags.items() if value is not None] + [
        key for key, value in others.items() if value
    ]
    if given:
        raise UsageError(
            f"--resume {run} goes on with the run as it was configured, and these have no place beside it: "
            f"{', '.join(given)}\nwith other settings it is a run of its own: once this one is finished, --init-from "
            "starts from its weights"
        )


def resumed(run: str, places: RunPaths, every: CheckpointEvery, *, quiet: bool, verbose: bool) -> TrainResult:
    """Find the run, settle its threads before any numerical library is loaded, and finish it."""
    from mlcli.train.resume import open_resumable

    found = open_resumable(run, places.runs_directory)
    n_threads = configure_threads(found.config, found.threads)
    from mlcli.experiment.plan import make_plan
    from mlcli.train.progress import training_progress
    from mlcli.train.trainer import resume

    plan = make_plan(found.config)
    with training_progress(quiet=quiet, verbose=verbose) as progress:
        return resume(found.directory, plan, places, n_threads, progress, every=every)
