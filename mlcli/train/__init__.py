"""`mlcli train`: run one experiment on one engine and leave a run directory behind; resume one that was interrupted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.experiment.thresholds import check_thresholds, parse_thresholds
from mlcli.experiment.threads import configure_threads

if TYPE_CHECKING:
    from mlcli.train.checkpointing import CheckpointEvery
    from mlcli.train.trainer import TrainResult

_SPLITS = {"accuracy": "test", "validation_accuracy": "validation", "train_accuracy": "train"}


@dataclass(frozen=True)
class TrainRequest:
    """What a training command asks for."""

    config: Path | None = None  # a YAML file; None: the defaults
    flags: Mapping[str, object] = {}  # by dotted key of the configuration; None where not given
    settings: Sequence[str] = ()  # texts `key.path=value`
    resume: str | None = None  # the run to resume, which needs none of the above
    runs_dir: Path | None = None
    out: Path | None = None  # the run directory itself
    data_dir: Path | None = None
    offline: bool = False
    if_needed: bool = False  # report a finished run of the same experiment instead of repeating it
    checkpoint_every: str = "auto"
    print_config: bool = False
    dry_run: bool = False
    output_format: str = "table"
    fail_under: Sequence[str] = ()  # texts `metric=value`
    quiet: bool = False
    verbose: bool = False


def run(request: TrainRequest) -> None:
    """Train an experiment, resume a run, or show a plan, and print the result to stdout.

    Raises the errors of errors.py, ThresholdError for a score below a threshold, and Interrupted.
    """
