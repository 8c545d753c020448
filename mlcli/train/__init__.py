"""`mlcli train`: run one experiment on one engine and write a run directory; resume a run that was interrupted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.config.flags import option_of
from mlcli.errors import UsageError
from mlcli.experiment.threads import configure_threads
from mlcli.experiment.thresholds import Threshold, check_thresholds, names_of, parse_thresholds
from mlcli.registry import METRICS
from mlcli.runs import DEFAULT_RUNS_DIR

if TYPE_CHECKING:
    from mlcli.config.layers import KeyPath
    from mlcli.config.schema import ExperimentConfig
    from mlcli.experiment.plan import Plan

_PREFIXES = {"": "test", "validation_": "validation", "train_": "train"}  # of the names of thresholds


@dataclass(frozen=True)
class TrainRequest:
    """What one call of the command asks for."""

    config: Path | None = None  # a YAML file; None: the defaults
    flags: Mapping[str, object] = field(default_factory=dict)  # by dotted configuration key; None: not given
    settings: Sequence[str] = ()  # texts `key.path=value`
    resume: str | None = None  # the run to resume, instead of the three above
    runs_dir: Path = DEFAULT_RUNS_DIR
    out: Path | None = None  # the run directory itself
    data_dir: Path | None = None
    offline: bool = False
    if_needed: bool = False  # report a finished run of the same experiment instead of repeating it
    checkpoint_every: str = "auto"
    print_config: bool = False
    dry_run: bool = False
    summary: bool = False  # print layers, shapes and parameters of the model, and exit
    output_format: str = "table"
    fail_under: Sequence[str] = ()  # texts `metric=value`
    fail_above: Sequence[str] = ()  # likewise, where lower is better
    quiet: bool = False
    verbose: bool = False


def run(request: TrainRequest) -> None:
    """Train an experiment, resume a run, or show a plan, and print the result to stdout.

    Raises the errors of errors.py, ThresholdError for a score below its threshold, and Interrupted.
    """
    from mlcli.experiment.plan import make_plan
    from mlcli.rendering.console import checked_format, progress_log
    from mlcli.runs.report import print_run
    from mlcli.train.checkpointing import parse_checkpoint_every
    from mlcli.train.resume import open_resumable

    checked_format(request.output_format)
    thresholds = parse_thresholds(request.fail_under, request.fail_above, names_of(_PREFIXES))
    every = parse_checkpoint_every(request.checkpoint_every)
    runs_directory = request.runs_dir
    found = None
    if request.resume is not None:
        _check_nothing_else(request)
        found = open_resumable(request.resume, runs_directory)
        config, threads = found.config, found.threads
    else:
        config, threads = _configuration(request), None
    n_threads = configure_threads(config.runtime.threads, threads)
    plan = make_plan(config, request.data_dir, progress_log(quiet=request.quiet))
    if request.print_config or request.dry_run or request.summary:
        _show(request, plan, runs_directory, n_threads)
        return
    from mlcli.train.report import training_progress
    from mlcli.train.trainer import RunPaths, resume, train

    paths = RunPaths(runs_directory, request.out, request.data_dir, request.offline)
    with training_progress(quiet=request.quiet, verbose=request.verbose) as progress:
        if found is None:
            result = train(plan, paths, n_threads, progress, if_needed=request.if_needed, every=every)
        else:
            result = resume(found.directory, plan, paths, n_threads, progress, every=every)
    batch_size = plan.config.training.batch_size
    print_run(
        result.record,
        result.directory,
        request.output_format,
        batch_size=batch_size,
        is_reused=result.is_reused,
        shown=_shown(thresholds, plan.config),
    )
    scores: dict[str, float | None] = {}
    undefined: dict[str, str] = {}
    for prefix, split in _PREFIXES.items():
        found_metrics = result.record.metrics.get(split)
        no_split = dict.fromkeys(METRICS, f"the run has no {split} split")
        reasons = found_metrics.undefined if found_metrics else no_split
        scores |= {f"{prefix}{name}": getattr(found_metrics, name, None) for name in METRICS}
        undefined |= {f"{prefix}{name}": reason for name, reason in reasons.items()}
    check_thresholds(thresholds, scores, undefined)


def _shown(thresholds: Sequence[Threshold], config: ExperimentConfig) -> set[str]:
    """Return the metrics by which the run is judged: those of thresholds and of early stopping."""
    stopping = config.training.early_stopping
    names = {threshold.name for threshold in thresholds} | ({stopping.monitor} if stopping else set())
    return {name for name in METRICS if any(f"{prefix}{name}" in names for prefix in _PREFIXES)}


def _configuration(request: TrainRequest) -> ExperimentConfig:
    from mlcli.config.experiment import load_experiment
    from mlcli.experiment.plan import model_issues

    def check(config: ExperimentConfig) -> list[tuple[KeyPath, str, bool]]:
        configure_threads(config.runtime.threads)  # before the check imports scikit-learn
        return model_issues(config)

    return load_experiment(request.config, flags=request.flags, settings=request.settings, check=check)


def _check_nothing_else(request: TrainRequest) -> None:
    """UsageError if something is given with --resume that would make it another experiment."""
    given = [str(request.config)] if request.config else []
    given += [option_of(key) for key, value in request.flags.items() if value is not None]
    others = {
        "--set": request.settings,
        "--out": request.out,
        "--if-needed": request.if_needed,
        "--print-config": request.print_config,
        "--dry-run": request.dry_run,
        "--summary": request.summary,
    }
    given += [flag for flag, value in others.items() if value]
    if given:
        raise UsageError(
            f"--resume cannot be combined with: {', '.join(given)}\n"
            "a resumed run keeps its configuration; once it is finished, --init-from starts a new run from its weights"
        )


def _show(request: TrainRequest, plan: Plan, runs_directory: Path, n_threads: int) -> None:
    if request.summary:
        from mlcli.train.summary import print_model_summary

        print_model_summary(plan, n_threads, request.output_format)
        return
    from mlcli.config.dump import to_yaml
    from mlcli.train.report import print_plan

    if plan.config.init_from:  # imports numpy
        from mlcli.experiment.initial_weights import pinned, read_source

        plan = pinned(plan, read_source(plan, runs_directory))
    if request.print_config:
        sys.stdout.write(to_yaml(plan.config))
    else:
        print_plan(plan, n_threads, request.output_format)
