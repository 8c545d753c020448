"""The thread count of a command, decided before any numerical library is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlcli.config.schema import ExperimentConfig


def settle_threads(experiment: ExperimentConfig, threads: int | None = None) -> int:
    """The flag, else the configuration, else the cores available; told to the libraries. Call it before numpy loads."""
    from mlcli.config.values import MOST_THREADS
    from mlcli.errors import UsageError
    from mlcli.workflows.threads import available_cores, set_thread_environment

    if threads is not None and threads > MOST_THREADS:
        raise UsageError(f"--threads {threads}: must be at most {MOST_THREADS}")
    n_threads = threads or experiment.runtime.threads or available_cores()
    set_thread_environment(n_threads)
    return n_threads
