"""`mlcli train --resume`: what may not stand beside it, and the run itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mlcli.cli.thread_count import settle_threads
from mlcli.errors import UsageError

if TYPE_CHECKING:
    from mlcli.workflows.checkpointing import CheckpointEvery
    from mlcli.workflows.train import Places, TrainResult


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


def resumed(run: str, places: Places, every: CheckpointEvery, *, quiet: bool, verbose: bool) -> TrainResult:
    """Find the run, settle its threads before any numerical library is loaded, and finish it."""
    from mlcli.workflows.resume import open_resumable

    found = open_resumable(run, places.runs_directory)
    n_threads = settle_threads(found.config, found.threads)
    from mlcli.report.progress import training_progress
    from mlcli.workflows.plan import make_plan
    from mlcli.workflows.train import resume

    plan = make_plan(found.config)
    with training_progress(quiet=quiet, verbose=verbose) as progress:
        return resume(found.directory, plan, places, n_threads, progress, every=every)
